"""`make clean` deletes what set-up made; what nobody can bring back it deletes only when told to."""

from pathlib import Path

import pytest

from tests.unit.test_snapshot import keep
from tools import backup, clean, cli, snapshot
from tools.steps import StepError


@pytest.fixture(autouse=True)
def cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A checkout with a snapshot and a backup, in which nothing is really deleted."""
    cleaned: list[str] = []
    monkeypatch.setattr(snapshot, "ROOT", tmp_path / "snapshots")
    monkeypatch.setattr(backup, "ROOT", tmp_path / "backups")
    monkeypatch.setattr(clean, "run", lambda: cleaned.append("all"))
    keep(name="before.rotation")
    (tmp_path / "backups" / "compact").mkdir(parents=True)
    (tmp_path / "backups" / "compact" / "monday.backup").touch()
    return cleaned


def test_snapshots_and_backups_are_named_and_stay(cleaned: list[str]) -> None:
    with pytest.raises(StepError) as error:
        cli.main(["clean"])
    assert str(error.value) == "this would delete snapshot before.rotation of lab, backup monday of compact"
    assert error.value.remedy == "YES=1"
    assert cleaned == []


def test_they_go_when_it_is_said_so(cleaned: list[str]) -> None:
    assert cli.main(["clean", "--yes"]) == 0
    assert cleaned == ["all"]


def test_what_rotation_put_into_the_stack_s_file_goes_with_the_rest() -> None:
    text = "config:\n  openstack-lab:vip: 172.16.0.248\n"
    secrets = "".join(f"  openstack-lab:{name}Secret:\n    secure: v1:abc\n" for name in ("machine", "master"))
    assert clean.without_secrets("Pulumi.lab.yaml", f"{text}{secrets}encryptionsalt: v1:x\n") == text
