"""What `make repair` has the engine do for what verify finds wrong."""

from collections.abc import Sequence
from typing import Any

import pytest

from tools import cli, engine, repair, stack
from tools.steps import StepError

URN = "urn:pulumi:lab::openstack-lab::"
HOST, START, ROLE, INSTANCE = (
    f"{URN}lab:openstack:Service$command:remote:Command::haproxy-haproxy1-files",
    f"{URN}lab:openstack:Service$command:remote:Command::haproxy-haproxy1-start",
    f"{URN}lab:openstack:Catalog$openstack:identity/roleAssignment:RoleAssignment::glance-role",
    f"{URN}lab:cloud:Instance$openstack:compute/instance:Instance::vm1",
)


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of four resources."""
    monkeypatch.setattr(stack, "resources", lambda _: [{"urn": urn} for urn in (HOST, START, ROLE, INSTANCE)])


def row(*repairs: str) -> dict[str, Any]:
    """A wrong row."""
    return {
        "check": "files",
        "subject": "glance",
        "ok": False,
        "detail": "is not as it was",
        "hint": "make repair",
        "repairs": list(repairs),
    }


def test_what_several_rows_want_is_made_once_and_in_the_program_s_order() -> None:
    rows = [row("haproxy-haproxy1-start"), row("haproxy-haproxy1-files", "haproxy-haproxy1-start"), row()]
    assert repair.resources("lab", rows) == [HOST, START]


def test_commands_run_anew_and_the_cloud_s_objects_are_only_put_right() -> None:
    assert repair.targets([HOST, ROLE]) == ["--target", HOST, "--replace", HOST, "--target", ROLE]


def test_what_the_stack_never_made_is_the_next_up_s() -> None:
    with pytest.raises(StepError, match="stack lab has no nova-user yet") as error:
        repair.resources("lab", [row("nova-user")])
    assert error.value.remedy == "make up STACK=lab"


def repaired(
    monkeypatch: pytest.MonkeyPatch, *looks: list[dict[str, Any]], statuses: list[int], mend: Sequence[str] = ()
) -> list[list[str]]:
    """The targets of each update of a `make repair` that sees these rows, and these exit statuses of verify.

    `mend`: URNs of what libvirt has lost.
    """
    updates: list[list[str]] = []
    seen, said = iter(looks), iter(statuses)

    def run(_verb: str, _name: str, _host: object, options: list[str]) -> int:
        updates.append(options)
        return 0

    monkeypatch.setattr(cli, "set_up", lambda _: None)
    monkeypatch.setattr(cli, "_mend", lambda *_: mend)
    monkeypatch.setattr(cli, "_verified", lambda *_: next(said))
    monkeypatch.setattr(repair, "wrong", lambda *_: next(seen))
    monkeypatch.setattr(engine, "run", run)
    assert cli.main(["--stack", "lab", "repair", "--yes"]) == statuses[-1]
    assert next(said, None) is None
    return updates


def test_what_shows_only_once_something_else_is_repaired_is_repaired_next(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = [row("haproxy-haproxy1-start")], [row("glance-role")]
    assert repaired(monkeypatch, first, second, statuses=[1, 0]) == [
        ["--refresh", *repair.targets([START]), "--yes"],
        ["--refresh", *repair.targets([ROLE]), "--yes"],
    ]


def test_an_instance_waits_for_its_machine_that_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nova finds no place for it before, and verify that it is gone."""
    domain = f"{URN}lab:kvm:Machine$libvirt:index/domain:Domain::node1"
    updates = repaired(monkeypatch, [], [row("vm1")], statuses=[1, 0], mend=[domain, INSTANCE])
    assert [repair.targets([domain]), repair.targets([INSTANCE])] == [options[1:-1] for options in updates]


def test_what_a_repair_did_not_mend_is_not_repaired_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    same = [row("glance-role")]
    assert len(repaired(monkeypatch, same, same, statuses=[1, 1])) == 1
