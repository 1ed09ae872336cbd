"""Machines that somebody switched off are switched on; what somebody took away is found."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import stacks
from tools import machines, made, stack
from tools.hypervisor import Hypervisor
from tools.steps import StepError

HOST = Hypervisor("test:///default", "pool", "qemu", None)
DOMAIN, NETWORK, VOLUME = "domain:Domain", "network:Network", "volume:Volume"


class Libvirt:
    """Machines by state, other objects by listing; notes what was asked to be done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **listings: set[str]) -> None:
        self.done: list[tuple[str, ...]] = []
        self._listings = listings
        monkeypatch.setattr(machines, "names", self._names)
        monkeypatch.setattr(made, "volumes", lambda *_: dict.fromkeys(listings.get("volumes", set()), "/file"))
        for kind, listing in (("machines", "list"), ("networks", "net-list")):
            monkeypatch.setattr(made, kind, partial(self._identifiers, listing))
        monkeypatch.setattr(machines, "virsh", self._virsh)

    def _virsh(self, _uri: str, *words: str) -> None:
        self.done.append(words)
        if words[-1] in self._listings.get("broken", set()):
            raise StepError(f"virsh {' '.join(words)}: no network vmbr1")

    def _identifiers(self, listing: str, uri: str) -> dict[str, str]:
        foreign = self._listings.get("foreign", set())
        return {name: f"{'another id' if name in foreign else 'id'} of {name}" for name in self._names(uri, listing)}

    def _names(self, _uri: str, listing: str, *options: str) -> set[str]:
        states = {"--state-paused": "paused", "--state-shutoff": "off"}
        if listing == "net-list":
            return self._listings.get("networks", set())
        wanted = [states[option] for option in options if option in states] or ["running", "paused", "off"]
        return {name for state in wanted for name in self._listings.get(state, set())}


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [(DOMAIN, "a"), (DOMAIN, "b"), (DOMAIN, "c"), (NETWORK, "vmbr0"), (VOLUME, "a.qcow2")]
    resources: list[dict[str, Any]] = [
        {"type": f"libvirt:index/{kind}", "urn": f"urn::{name}", "id": f"id of {name}", "outputs": {"name": name}}
        for kind, name in made
    ]
    monkeypatch.setattr(stack, "resources", lambda _: resources)


def test_machines_that_are_off_or_paused_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the stack alone."""
    libvirt = Libvirt(monkeypatch, running={"a"}, off={"b", "another"}, paused={"c"})
    machines.start(HOST, "lab")
    assert libvirt.done == [("start", "b"), ("resume", "c")]
    assert "machines: started b; started c" in capsys.readouterr().out


def test_a_machine_that_cannot_start_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Perhaps the next update makes what it wants."""
    libvirt = Libvirt(monkeypatch, off={"a", "b", "c"}, broken={"b"})
    machines.start(HOST, "lab")
    assert libvirt.done == [("start", "a"), ("start", "b"), ("start", "c")]
    assert "machines: started a; virsh start b: no network vmbr1; started c" in capsys.readouterr().out


def test_machines_that_run_are_left_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    libvirt = Libvirt(monkeypatch, running={"a", "b", "c"})
    machines.start(HOST, "lab")
    assert libvirt.done == []
    assert "machines: all on" in capsys.readouterr().out


def test_what_libvirt_does_not_have_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every kind; a machine that is off is not. The pool is looked at anew."""
    libvirt = Libvirt(monkeypatch, running={"a"}, off={"b"}, networks={"vmbr1"}, volumes={"b.qcow2"})
    assert [each["urn"] for each in machines.lost(HOST, "lab")] == ["urn::c", "urn::vmbr0", "urn::a.qcow2"]
    assert libvirt.done == [("pool-refresh", "pool")]


def test_nothing_is_lost_of_a_whole_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    Libvirt(monkeypatch, running={"a", "b", "c"}, networks={"vmbr0"}, volumes={"a.qcow2"})
    assert machines.lost(HOST, "lab") == []


def test_a_machine_is_made_anew_with_its_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    Libvirt(monkeypatch, running={"a", "b"}, networks={"vmbr0"})
    assert machines.rebuilt("lab", machines.lost(HOST, "lab")) == ["urn::a", "urn::c"]


def test_what_has_the_name_and_another_identifier_is_somebody_else_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not switched on, and what the stack made is gone."""
    libvirt = Libvirt(monkeypatch, off={"a", "b", "c"}, networks={"vmbr0"}, volumes={"a.qcow2"}, foreign={"b", "vmbr0"})
    machines.start(HOST, "lab")
    assert libvirt.done == [("start", "a"), ("start", "c")]
    assert [each["urn"] for each in machines.lost(HOST, "lab")] == ["urn::b", "urn::vmbr0"]


@pytest.mark.parametrize(
    ("disk", "told"),
    [
        ("openstack-mysql-master.qcow2", "libvirt has no openstack-mysql-master.qcow2 any more"),
        ("openstack-controller1.qcow2", "libvirt has no openstack-controller1.qcow2 any more"),
        ("openstack-node1.qcow2", None),
        ("openstack-haproxy1.qcow2", None),
    ],
)
def test_a_disk_with_the_cloud_s_data_is_not_made_again_as_if_nothing_had_been_there(
    monkeypatch: pytest.MonkeyPatch, disk: str, told: str | None
) -> None:
    topology = stacks.load("lab").site.topology
    lost = [{"type": f"libvirt:index/{VOLUME}", "outputs": {"name": disk}}]
    machines.check_data("lab", topology, lost)  # there is no cloud yet
    monkeypatch.setattr(stack, "resources", lambda _: [*lost, {"type": "openstack:identity/user:User"}])
    with pytest.raises(StepError, match=f"^{told}") if told else contextlib.nullcontext():
        machines.check_data("lab", topology, lost)


@pytest.mark.parametrize(
    ("disk", "nodes"),
    [("openstack-node1.qcow2", ["node1"]), ("openstack-node1.iso", []), ("openstack-haproxy1.qcow2", [])],
)
def test_instances_are_lost_with_the_disk_of_their_compute_node(disk: str, nodes: list[str]) -> None:
    lost = [{"type": f"libvirt:index/{VOLUME}", "outputs": {"name": disk}}]
    assert machines.bare(stacks.load("lab").site.topology, lost) == nodes


def test_what_stands_in_has_the_identifier_that_the_state_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """By it the provider finds what it is to delete. The name is one that nobody has."""
    Libvirt(monkeypatch, running={"a", "b"})
    given: list[str] = []

    def virsh(_uri: str, *words: str) -> None:
        given.append(" ".join([*words[:1], Path(words[1]).read_text()] if words[0].endswith("define") else words))

    lost = machines.lost(HOST, "lab")
    monkeypatch.setattr(machines, "virsh", virsh)
    machines.stand_in(HOST, lost)
    assert given[0].startswith('define <domain type="qemu"><name>c-id of c</name><uuid>id of c</uuid>')
    assert given[1:] == [
        "net-define <network><name>vmbr0-id of vmbr0</name><uuid>id of vmbr0</uuid></network>",
        "vol-create-as pool a.qcow2 1M",
    ]
