"""What `make repair` has the engine do for what verify finds wrong."""

from typing import Any

import pytest

from tools import repair, stack
from tools.steps import StepError

URN = "urn:pulumi:lab::openstack-lab::"
HOST, START, ROLE = (
    f"{URN}lab:openstack:Service$command:remote:Command::haproxy-haproxy1-files",
    f"{URN}lab:openstack:Service$command:remote:Command::haproxy-haproxy1-start",
    f"{URN}lab:openstack:Catalog$openstack:identity/roleAssignment:RoleAssignment::glance-role",
)


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of three resources."""
    monkeypatch.setattr(stack, "resources", lambda _: [{"urn": urn} for urn in (HOST, START, ROLE)])


def row(*repairs: str) -> dict[str, Any]:
    """A wrong row."""
    return {"check": "files", "ok": False, "repairs": list(repairs)}


def test_what_several_rows_want_is_made_once_and_in_the_program_s_order() -> None:
    rows = [row("haproxy-haproxy1-start"), row("haproxy-haproxy1-files", "haproxy-haproxy1-start"), row()]
    assert repair.resources("lab", rows) == [HOST, START]


def test_commands_run_anew_and_the_cloud_s_objects_are_only_put_right() -> None:
    assert repair.targets([HOST, ROLE]) == ["--target", HOST, "--replace", HOST, "--target", ROLE]


def test_what_the_stack_never_made_is_the_next_up_s() -> None:
    with pytest.raises(StepError, match="stack lab has no nova-user yet") as error:
        repair.resources("lab", [row("nova-user")])
    assert error.value.remedy == "make up STACK=lab"
