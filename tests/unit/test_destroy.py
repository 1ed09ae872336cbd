"""`make destroy` asks for the stack's name before it touches anything."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tools import cli, engine, leftovers, machines, made, paths, snapshot, stack, toolchain
from tools.hypervisor import Hypervisor
from tools.steps import StepError


@pytest.fixture(autouse=True)
def _nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def done(*_: object, **__: object) -> None:
        raise AssertionError("something was done")

    for module, name in ((engine, "run"), (toolchain, "ensure"), (cli, "set_up")):
        monkeypatch.setattr(module, name, done)


@pytest.mark.parametrize("answer", ["compact", "yes", "LAB", ""])
def test_another_name_than_the_stack_s_destroys_nothing(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    with pytest.raises(StepError, match="that is not its name: nothing was destroyed"):
        cli.main(["--stack", "lab", "destroy"])


def test_no_answer_destroys_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(_: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", leave)
    with pytest.raises(StepError, match="that is not its name: nothing was destroyed"):
        cli.main(["--stack", "lab", "destroy"])


def test_without_a_terminal_it_wants_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(StepError, match="destroying stack lab wants a confirmation, and there is no terminal") as told:
        cli.main(["--stack", "lab", "destroy"])
    assert told.value.remedy == "YES=1"


def test_a_stack_that_is_not_there_is_named_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "lap")
    with pytest.raises(StepError, match=r"there is no stack 'lap': Pulumi\.lap\.yaml is missing"):
        cli.main(["--stack", "lap", "destroy"])


HOST = Hypervisor("test:///default", "pool", "qemu", None)


@pytest.mark.parametrize(("status", "left"), [(0, ["compact"]), (1, ["compact", "lab"])])
def test_openrc_files_that_no_state_knows_go_with_the_last_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, left: list[str]
) -> None:
    """A killed engine may have written them; so does the mark of a restore that was broken off."""
    monkeypatch.setattr(paths, "CLIENTS", tmp_path / "openrc")
    monkeypatch.setattr(paths, "STATE", tmp_path)
    for name in ("lab", "compact"):
        (tmp_path / "openrc" / name).mkdir(parents=True)
        (tmp_path / "openrc" / name / "admin-openrc").write_text("export OS_PASSWORD=x")
        (tmp_path / f"restoring-{name}").write_text("fresh")
    monkeypatch.setattr(cli, "_set_up_engine", lambda *_, **__: contextlib.nullcontext(HOST))
    monkeypatch.setattr(engine, "run", lambda *_: status)
    monkeypatch.setattr(stack, "unlock", lambda _: None)
    monkeypatch.setattr(made, "check_disks", lambda *_: None)
    monkeypatch.setattr(machines, "lost", lambda *_: [])
    monkeypatch.setattr(machines, "stand_in", lambda *_: None)
    monkeypatch.setattr(leftovers, "remove", lambda _: None)
    assert cli.main(["--stack", "lab", "destroy", "--yes"]) == status
    assert sorted(file.name for file in (tmp_path / "openrc").iterdir()) == left
    with contextlib.nullcontext() if status == 0 else pytest.raises(StepError, match="its restore was broken off"):
        snapshot.check_whole("lab")


def test_a_state_that_went_stale_takes_no_disks_of_a_stack_that_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both stacks have a disk of that name; whose it is, the machines tell."""
    disk: dict[str, Any] = {"openstack-controller1.qcow2": {}}
    up: dict[str, Any] = {"lab": {"openstack-controller1": {}}}
    monkeypatch.setattr(stack, "kept", lambda: ["compact", "lab"])
    monkeypatch.setattr(made, "present", lambda _, name, *types: up.get(name, {}) if types == (made.DOMAIN,) else disk)
    made.check_disks(HOST, "lab")
    with pytest.raises(StepError, match=r"openstack-controller1.qcow2: of stack lab, which is up") as error:
        made.check_disks(HOST, "compact")
    assert error.value.remedy == "make destroy STACK=lab first"
    up.clear()
    made.check_disks(HOST, "compact")
