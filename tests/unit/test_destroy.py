"""`make destroy` asks for the stack's name before it touches anything."""

import sys

import pytest

from tools import cli, engine, toolchain
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
