"""What `make up` waits for after machines have booted, and what it does not wait for."""

import time

import pytest

from tests import stacks
from tools import booted, cli, leftovers, machines, made, snapshot, stack
from tools.hypervisor import Hypervisor
from tools.verify import nodes
from tools.verify.model import UnansweredError

LAB = stacks.load("lab")
CONTROLLER = LAB.site.topology.nodes[0]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause; time goes by in them alone."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(slept))
    return slept


def test_only_what_the_engine_has_started_is_waited_for() -> None:
    """By its URL at the virtual address; a service without an API has none."""
    names = ["keystone-controller1-start", "glance-controller1-files", "mariadb-mysql-master-start"]
    resources = [{"urn": f"urn:pulumi:lab::openstack-lab::command:remote:Command::{name}"} for name in names]
    assert booted.started(LAB.site, resources) == {"keystone": "http://openstack-vip.magedu.local:5000/v3/"}


def test_compute_nodes_are_waited_for_by_nobody() -> None:
    assert {node.name for node in booted.starting(LAB)} == {"controller1", "haproxy1", "mysql-master"}


def test_an_api_that_answers_is_not_waited_for(pauses: list[float]) -> None:
    def never() -> bool:
        raise AssertionError("asked the machines")

    assert booted.wait(list, never) == []
    assert pauses == []


def test_while_machines_boot_their_apis_are_waited_for(pauses: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Which are missing is told as soon as they are others."""
    answers = [["keystone", "nova"], ["keystone", "nova"], ["nova"], []]
    assert booted.wait(lambda: answers[len(pauses)], lambda: True) == []
    assert capsys.readouterr().out.splitlines() == [
        "    no answer yet: keystone, nova (0 s)",
        "    no answer yet: nova (10 s)",
    ]


def test_an_api_that_is_silent_on_machines_that_run_for_long_is_the_update_s_matter(pauses: list[float]) -> None:
    """It may be what brings it back."""
    assert booted.wait(lambda: ["nova"], lambda: False) == ["nova"]
    assert pauses == []


def test_a_machine_that_never_comes_is_given_up(pauses: list[float]) -> None:
    assert booted.wait(lambda: ["nova"], lambda: True) == ["nova"]
    assert booted.BOOT_SECONDS < sum(pauses) <= booted.BOOT_SECONDS + 2 * booted.PAUSE


@pytest.mark.parametrize(("uptime", "boots"), [("31.04\n", True), ("86400.00\n", False)])
def test_a_machine_tells_for_how_long_it_has_been_on(
    monkeypatch: pytest.MonkeyPatch, uptime: str, *, boots: bool
) -> None:
    monkeypatch.setattr(nodes, "run", lambda *_, **__: uptime)
    assert booted.boots(CONTROLLER, LAB) is boots


def test_a_machine_that_does_not_answer_may_be_booting(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> str:
        raise UnansweredError("SSH: no route to host")

    monkeypatch.setattr(nodes, "run", silent)
    assert booted.boots(CONTROLLER, LAB)


@pytest.mark.parametrize(
    ("there", "lost", "asked"),
    [
        ({}, [], []),
        ({"openstack-node1": {}}, [], ["booted"]),
        ({"openstack-node1": {}}, [{"urn": "urn::vmbr0", "outputs": {"name": "vmbr0"}}], []),
    ],
    ids=["before the first update", "machines", "a network is gone"],
)
def test_an_update_waits_where_there_are_machines_that_can_be_reached(
    monkeypatch: pytest.MonkeyPatch, there: dict[str, object], lost: list[made.Resource], asked: list[str]
) -> None:
    words: list[str] = []

    def inside(*given: object) -> int:
        words.append(str(given[-1]))
        return 0

    def nothing(*_: object) -> list[str]:
        return []

    for module, name in ((stack, "unlock"), (snapshot, "check_whole"), (leftovers, "remove")):
        monkeypatch.setattr(module, name, nothing)
    for name in ("_rebuild", "_settle"):
        monkeypatch.setattr(cli, name, nothing)
    monkeypatch.setattr(machines, "start", nothing)
    monkeypatch.setattr(machines, "lost", lambda *_: lost)
    monkeypatch.setattr(made, "by", lambda *_: there)
    monkeypatch.setattr(cli, "_inside", inside)
    assert cli._mend(Hypervisor("test:///default", "pool", "qemu", "space"), "lab") == []
    assert words == asked
