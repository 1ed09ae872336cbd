"""What `make rotate` puts into the stack's configuration; what that leads to is the program's tests' to say."""

import contextlib
import sys
from pathlib import Path

import pytest

from components.secrets import PASSWORD
from tests import stacks
from tools import cli, engine, paths, preflight, rotate, stack, stack_values
from tools.steps import StepError

DRAFT = Path("draft.yaml")


@pytest.fixture(autouse=True)
def put(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is set in a copy of the file of stack `lab`."""
    put: dict[str, str] = {}
    monkeypatch.setattr(stack_values, "complete", lambda _: stacks.load("lab", **put))
    monkeypatch.setattr(stack, "set_secret", lambda *words: put.update([words[2:]]))
    return put


def test_another_master_secret_leaves_the_machines_theirs(put: dict[str, str]) -> None:
    rotate.change("lab", DRAFT)
    assert put["machineSecret"] == stacks.MASTER
    assert put["masterSecret"] != stacks.MASTER
    assert len(put["masterSecret"]) >= 32


def test_the_machines_keep_the_first_one_for_good(put: dict[str, str]) -> None:
    rotate.change("lab", DRAFT)
    second = put["masterSecret"]
    rotate.change("lab", DRAFT)
    assert put["machineSecret"] == stacks.MASTER
    assert put["masterSecret"] not in (second, stacks.MASTER)


def test_another_master_secret_ends_the_passwords_that_do_not_follow_from_it(
    put: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"admin_identity_password": "known-to-somebody"}
    monkeypatch.setattr(stack_values, "complete", lambda _: stacks.load("lab", passwordOverrides=own))
    rotate.change("lab", DRAFT)
    assert PASSWORD.fullmatch(put["passwordOverrides.admin_identity_password"])
    assert put.keys() == {"masterSecret", "machineSecret", "passwordOverrides.admin_identity_password"}


LDAP = {
    "options": {"keystone": {"keystone.conf": {"ldap": {"password": "@ldap_secret@"}}}},
    "passwordOverrides": {"ldap_secret": "known-to-the-LDAP-server"},
}


def test_a_secret_of_the_operator_s_own_options_stays(put: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else has it, too."""
    monkeypatch.setattr(stack_values, "complete", lambda _: stacks.load("lab", **LDAP))
    rotate.change("lab", DRAFT)
    assert put.keys() == {"masterSecret", "machineSecret"}
    with pytest.raises(StepError, match="'ldap_secret' is no password of stack lab; allowed: admin_identity_password,"):
        rotate.change("lab", DRAFT, "ldap_secret")


def test_one_password_is_drawn_by_its_name(put: dict[str, str]) -> None:
    rotate.change("lab", DRAFT, "glance_database_password")
    [(key, value)] = put.items()
    assert key == "passwordOverrides.glance_database_password"
    assert PASSWORD.fullmatch(value)
    assert len(value) >= 20


@pytest.mark.parametrize("name", ["glance", "glance_database_passwort", "token_fernet", "../x"])
def test_a_name_that_is_none_is_told_with_those_that_there_are(put: dict[str, str], name: str) -> None:
    with pytest.raises(
        StepError, match=f"NAME: '{name}' is no password of stack lab; allowed: admin_identity_password,"
    ):
        rotate.change("lab", DRAFT, name)
    assert put == {}


def test_the_guide_s_passwords_follow_from_no_secret(put: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_values, "complete", lambda _: stacks.load("lab", passwords="guide"))
    with pytest.raises(StepError, match="stack lab has the guide's passwords, which follow from no secret"):
        rotate.change("lab", DRAFT)
    assert put == {}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of stack `lab`, which rotation replaces; nothing of set-up and engine is real."""
    file = tmp_path / "Pulumi.lab.yaml"
    file.write_text("as it was\n")
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    monkeypatch.setattr(paths, "STATE", tmp_path / ".lab")
    paths.STATE.mkdir()
    monkeypatch.setattr(cli, "set_up", lambda _: None)
    monkeypatch.setattr(preflight, "check", lambda *_: None)
    monkeypatch.setattr(stack, "unlock", lambda _: None)
    monkeypatch.setattr(rotate, "change", lambda _, draft, *__: draft.write_text("rotated\n"))
    return file


def test_a_preview_that_fails_leaves_everything_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "run", lambda *_: 255)
    assert cli.main(["--stack", "lab", "rotate", "--yes"]) == 1
    assert file.read_text() == "as it was\n"


@pytest.mark.parametrize(("answer", "text"), [("no", "as it was\n"), ("", "as it was\n"), ("yes", "rotated\n")])
def test_who_has_seen_the_preview_decides(file: Path, monkeypatch: pytest.MonkeyPatch, answer: str, text: str) -> None:
    ran: list[str] = []
    monkeypatch.setattr(engine, "run", lambda verb, *_: ran.append(verb))
    monkeypatch.setattr(engine, "up", lambda *_: ran.append("up"))
    monkeypatch.setattr(cli, "_verified", lambda *_: 0)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert cli.main(["--stack", "lab", "rotate"]) == (0 if answer == "yes" else 1)
    assert ran == (["preview", "up"] if answer == "yes" else ["preview"])
    assert file.read_text() == text


def test_what_somebody_wrote_while_the_question_stood_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_: str) -> str:
        file.write_text("changed by hand\n")
        return "yes"

    monkeypatch.setattr(engine, "run", lambda *_: 0)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", write)
    with pytest.raises(StepError, match=r"Pulumi.lab.yaml was changed meanwhile: nothing was rotated"):
        cli.main(["--stack", "lab", "rotate"])
    assert file.read_text() == "changed by hand\n"


def test_an_update_that_began_while_the_question_stood_goes_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def look(_: str) -> None:
        if looked:
            raise StepError("stack lab is being worked on by process 1")
        looked.append("before")

    monkeypatch.setattr(stack, "unlock", look)
    monkeypatch.setattr(engine, "run", lambda *_: 0)
    with pytest.raises(StepError, match="is being worked on"):
        cli.main(["--stack", "lab", "rotate", "--yes"])
    assert file.read_text() == "as it was\n"


@pytest.mark.parametrize(
    ("way", "out"), [(KeyboardInterrupt, KeyboardInterrupt), (EOFError, None), (SystemExit, SystemExit)]
)
def test_who_leaves_the_question_open_has_changed_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, way: type[BaseException], out: type[BaseException] | None
) -> None:
    """By Ctrl-C, Ctrl-D or a terminal that goes away: the next update would rotate without a question."""

    def leave(_: str) -> str:
        raise way

    monkeypatch.setattr(engine, "run", lambda *_: 0)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", leave)
    with pytest.raises(out) if out else contextlib.nullcontext():
        assert cli.main(["--stack", "lab", "rotate"]) == 1
    assert file.read_text() == "as it was\n"


def test_nothing_is_rotated_while_an_update_runs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_: str) -> None:
        raise StepError("stack lab is being worked on by process 1")

    monkeypatch.setattr(stack, "unlock", busy)
    with pytest.raises(StepError, match="is being worked on"):
        cli.main(["--stack", "lab", "rotate", "--yes"])
    assert file.read_text() == "as it was\n"


def test_nothing_is_rotated_without_being_asked_for() -> None:
    with pytest.raises(StepError, match="wants a confirmation, and there is no terminal") as error:
        cli.main(["--stack", "lab", "rotate"])
    assert error.value.remedy == "YES=1"
