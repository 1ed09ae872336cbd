"""`make clean` deletes what set-up made; what nobody can bring back it deletes only when told to."""

from pathlib import Path

import pytest

from tests.unit.test_snapshot import keep
from tools import backup, clean, cli, hypervisor, made, paths, snapshot, stack
from tools.steps import StepError

run = clean.run


@pytest.fixture(autouse=True)
def cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A checkout with a snapshot and a backup, in which nothing is really deleted."""
    cleaned: list[str] = []
    monkeypatch.setattr(snapshot, "ROOT", tmp_path / "snapshots")
    monkeypatch.setattr(backup, "ROOT", tmp_path / "backups")
    monkeypatch.setattr(clean, "run", lambda: cleaned.append("all"))
    monkeypatch.setattr(stack, "kept", lambda: ["compact", "lab"])
    monkeypatch.setattr(made, "by", lambda name, _: {"openstack-node1": {}} if name == "lab" else {})
    keep(name="before.rotation")
    (tmp_path / "backups" / "compact").mkdir(parents=True)
    (tmp_path / "backups" / "compact" / "monday.backup").touch()
    return cleaned


def test_what_nothing_brings_back_is_named_and_stays(cleaned: list[str]) -> None:
    with pytest.raises(StepError) as error:
        cli.main(["clean"])
    assert str(error.value) == (
        "this would delete the machines of stack lab, snapshot before.rotation of lab, backup monday of compact"
    )
    assert error.value.remedy == "YES=1"
    assert cleaned == []


def test_they_go_when_it_is_said_so(cleaned: list[str]) -> None:
    assert cli.main(["clean", "--yes"]) == 0
    assert cleaned == ["all"]


def test_what_rotation_put_into_the_stack_s_file_goes_with_the_rest() -> None:
    text = "config:\n  openstack-lab:vip: 172.16.0.248\n"
    secrets = "".join(f"  openstack-lab:{name}Secret:\n    secure: v1:abc\n" for name in ("machine", "master"))
    assert clean.without_secrets(f"{text}{secrets}encryptionsalt: v1:x\n") == text


OWN = """config:
  openstack-lab:masterSecret:
    secure: v1:abc
  openstack-lab:passwordOverrides:
    ldap_secret:
      secure: v1:def
encryptionsalt: v1:x
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two stacks that were set up; there is no hypervisor."""
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    monkeypatch.setattr(paths, "STATE", tmp_path / ".lab")
    monkeypatch.setattr(paths, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(stack, "PASSPHRASE", tmp_path / ".lab" / "passphrase")
    monkeypatch.setattr(stack, "kept", list)
    monkeypatch.setattr(hypervisor, "clean", lambda: None)
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".lab" / "state").mkdir(parents=True)
    for file in ("passphrase", "host.json", "state/compact.json"):
        (tmp_path / ".lab" / file).write_text(file)
    for name in ("lab", "compact"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text(
            OWN.replace("  openstack-lab:passwordOverrides:\n    ldap_secret:\n      secure: v1:def\n", "")
        )
    return tmp_path


def test_nothing_is_left_of_set_up(checkout: Path) -> None:
    run()
    assert not (checkout / ".lab").exists()
    assert (checkout / "Pulumi.lab.yaml").read_text() == (checkout / "Pulumi.compact.yaml").read_text() == "config:\n"


def test_secrets_of_the_operator_s_own_stay_with_what_opens_them(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the other stack go."""
    (checkout / "Pulumi.compact.yaml").write_text(OWN)
    run()
    assert (checkout / "Pulumi.compact.yaml").read_text() == OWN
    assert (checkout / "Pulumi.lab.yaml").read_text() == "config:\n"
    assert [file.name for file in (checkout / ".lab").iterdir()] == ["passphrase"]
    assert "passphrase stays: it opens secrets in Pulumi.compact.yaml" in capsys.readouterr().out
