"""Backups: what is in them, who can read them, and that a wrong one changes nothing."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.config import Config
from components.secrets import Secrets
from components.topology import Node
from tests import stacks
from tools import backup, stack, stack_values
from tools.backup import restore, take
from tools.steps import StepError
from tools.verify import nodes
from tools.verify.model import UnansweredError

DUMP = gzip.compress(b"CREATE DATABASE keystone;\n")
KEYS = gzip.compress(b"keys of Keystone")
DATABASES = ("keystone", "glance", "placement", "nova_api", "nova", "nova_cell0", "neutron")

Asked = list[tuple[str, str, bytes]]
"""Node, script, standard input."""


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The five machines, with a passphrase and a place for backups."""
    config = stacks.load("lab")
    monkeypatch.setattr(backup, "ROOT", tmp_path / "backups")
    monkeypatch.setattr(stack_values, "complete", lambda _: config)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "not a secret")
    return config


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Nodes that give a dump and keys, and take what they are given."""
    asked: Asked = []

    def answer(node: Node, script: str, _: Secrets, *, seconds: float, stdin: bytes = b"") -> bytes:
        assert seconds > 60
        asked.append((node.name, script, stdin))
        return DUMP if "mysqldump" in script else KEYS

    monkeypatch.setattr(nodes, "fetch", answer)
    return asked


def taken(name: str = "monday") -> Path:
    """A backup made by `make backup`."""
    assert take.main(["--stack", "lab", name]) == 0
    return backup.path("lab", name)


def test_a_backup_holds_all_databases_of_one_moment_and_the_keys(asked: Asked) -> None:
    taken()
    (database, dump, _), (controller, keys, _) = asked
    assert (database, controller) == ("mysql-master", "controller1")
    assert "--single-transaction" in dump
    assert dump.partition("--databases ")[2].partition(" |")[0].split() == list(DATABASES)
    assert "fernet-keys credential-keys" in keys
    assert backup.read("lab", "monday", take.lab(stacks.load("lab"))) == {backup.DATABASES: DUMP, backup.KEYS: KEYS}


@pytest.mark.usefixtures("asked")
def test_a_backup_can_be_read_with_the_passphrase_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    file = taken()
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"CREATE" not in file.read_bytes()
    assert DUMP not in file.read_bytes()
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another one")
    with pytest.raises(StepError, match="damaged, or made with another passphrase"):
        backup.read("lab", "monday", take.lab(stacks.load("lab")))


def test_a_restore_loads_the_databases_then_the_keys_then_forgets_tokens(asked: Asked) -> None:
    taken()
    asked.clear()
    assert restore.main(["--stack", "lab", "monday"]) == 0
    assert [(node, content) for node, _, content in asked] == [
        ("mysql-master", DUMP),
        ("controller1", KEYS),
        ("mysql-master", b""),
    ]
    load, _, flush = (script for _, script, _ in asked)
    assert "SET GLOBAL read_only = 1" in load
    assert "user IN ('keystone', 'glance', 'placement', 'nova', 'neutron')" in load
    assert load.index("evict &>") < load.index("zcat |")
    assert flush == "systemctl restart memcached.service"


def test_a_name_is_taken_once(asked: Asked) -> None:
    file = taken()
    with pytest.raises(StepError, match="stack lab has a backup 'monday' already") as error:
        taken()
    assert str(file) in error.value.remedy
    assert len(asked) == 2


@pytest.mark.parametrize("name", ["", "../lab", "Monday", "a b", ".hidden"])
def test_a_name_that_is_no_file_s_is_refused(asked: Asked, name: str) -> None:
    with pytest.raises(StepError, match="is not allowed; allowed: lower-case letters"):
        take.main(["--stack", "lab", name])
    assert asked == []


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)


def forge(file: Path) -> None:
    """Another header over the same content."""
    line, _, rest = file.read_bytes().partition(b"\n")
    file.write_bytes(json.dumps({**json.loads(line), "made": "2020-01-01T00:00:00+00:00"}).encode() + b"\n" + rest)


def overwrite(file: Path) -> None:
    file.write_text("something else")


@pytest.mark.parametrize(
    ("damage", "told"),
    [(cut, "damaged"), (flip, "damaged"), (forge, "damaged"), (overwrite, "no backup, or damaged at its beginning")],
)
def test_a_damaged_backup_is_told_and_nothing_is_changed(
    asked: Asked, damage: Callable[[Path], None], told: str
) -> None:
    damage(taken())
    asked.clear()
    with pytest.raises(StepError, match=told):
        restore.main(["--stack", "lab", "monday"])
    assert asked == []


@pytest.mark.usefixtures("asked")
def test_an_unknown_backup_is_told_with_those_that_there_are() -> None:
    taken()
    with pytest.raises(StepError, match="stack lab has no backup 'tuesday'; its backups: monday"):
        restore.main(["--stack", "lab", "tuesday"])


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"release": "epoxy-debian13"}, "made of release zed-debian12, and this is epoxy-debian13"),
        ({"databases": DATABASES[:1]}, "made of databases keystone, glance, .*, and this is keystone"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_a_backup_of_something_else_is_refused(lab: Config, other: dict[str, Any], told: str) -> None:
    taken()
    with pytest.raises(StepError, match=told):
        backup.read("lab", "monday", take.lab(lab)._replace(**other))


@pytest.mark.usefixtures("asked")
def test_a_backup_of_another_stack_is_refused(lab: Config) -> None:
    there = backup.path("compact", "monday")
    there.parent.mkdir(parents=True)
    taken().rename(there)
    with pytest.raises(StepError, match="made of stack lab, and this is compact"):
        backup.read("compact", "monday", take.lab(lab))


@pytest.mark.parametrize(
    "then", [{"masterSecret": "another one " * 4}, {"passwordOverrides": {"admin_identity_password": "another"}}]
)
@pytest.mark.usefixtures("asked")
def test_a_backup_with_passwords_that_were_rotated_since_is_refused(
    monkeypatch: pytest.MonkeyPatch, then: dict[str, Any]
) -> None:
    """Services and clients have the new ones; who had an old one would be let in again."""
    monkeypatch.setattr(stack_values, "complete", lambda _: stacks.load("lab", **then, machineSecret=stacks.MASTER))
    taken()
    monkeypatch.setattr(stack_values, "complete", lambda _: stacks.load("lab"))
    with pytest.raises(StepError, match="the users had other passwords then") as error:
        restore.main(["--stack", "lab", "monday"])
    assert "secrets in Pulumi.lab.yaml" in error.value.remedy


def test_a_database_that_does_not_answer_leaves_no_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise UnansweredError("SSH to 172.16.0.103: timed out")

    monkeypatch.setattr(nodes, "fetch", refuse)
    with pytest.raises(StepError, match=r"no backup: SSH to 172\.16\.0\.103: timed out"):
        taken()
    assert backup.listing("lab") == []


def test_the_generated_passphrase_is_used_where_there_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    monkeypatch.setattr(stack, "PASSPHRASE", tmp_path / "passphrase")
    (tmp_path / "passphrase").write_text("generated\n")
    assert stack.passphrase() == "generated"
