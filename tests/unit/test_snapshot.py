"""Snapshots: their names, their list, and what one cannot go back to. Real ones are taken by the fault tests."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tools import made, paths, snapshot
from tools.hypervisor import Hypervisor
from tools.steps import StepError

HOST = Hypervisor("test:///default", "pool", "qemu", None)
FINE = snapshot.Snapshot(
    stack="lab",
    name="fresh",
    made="2026-11-23T18:00:00+00:00",
    program="",
    machines={"openstack-node1": 2048, "openstack-controller1": 5120},
    files={"volumes/openstack-node1.qcow2": 3 * 1024**3, "machines/openstack-node1.memory": 1024**3 // 2},
)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(snapshot, "ROOT", tmp_path / "snapshots")
    monkeypatch.setattr(paths, "STATE", tmp_path)
    (tmp_path / "snapshots").mkdir()
    return tmp_path


def keep(**changes: Any) -> snapshot.Snapshot:
    """Write a snapshot with files of the right sizes and no content."""
    kept = replace(FINE, program=snapshot.program(), **changes)
    for name, size in kept.files.items():
        file = kept.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as handle:
            handle.truncate(size)
    (kept.directory / "snapshot.json").write_text(json.dumps(asdict(kept)))
    return kept


def test_snapshots_are_listed_by_age_with_their_sizes() -> None:
    keep(name="second", made="2026-11-23T19:00:00+00:00")
    keep()
    keep(stack="compact", name="other")
    assert snapshot.table(snapshot.listing("lab")).splitlines() == [
        "NAME    MADE (UTC)           SIZE     MACHINES",
        "fresh   2026-11-23 18:00:00  3.5 GiB  openstack-controller1, openstack-node1",
        "second  2026-11-23 19:00:00  3.5 GiB  openstack-controller1, openstack-node1",
    ]


def test_a_deleted_snapshot_is_gone_and_the_others_stay() -> None:
    keep()
    keep(name="second")
    snapshot.delete("lab", "fresh")
    assert [each.name for each in snapshot.listing("lab")] == ["second"]
    assert not (snapshot.ROOT / "lab" / "fresh").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "Fresh", ".hidden", "x" * 42, "-x"])
def test_a_name_that_is_not_one_is_refused_and_the_allowed_ones_are_told(name: str) -> None:
    with pytest.raises(StepError) as error:
        snapshot.take(HOST, "lab", name)
    assert str(error.value).startswith(f"NAME: {name!r} is not allowed; allowed: lower-case letters, digits")


def test_a_name_that_is_taken_is_refused() -> None:
    keep()
    with pytest.raises(StepError) as error:
        snapshot.take(HOST, "lab", "fresh")
    assert (str(error.value), error.value.remedy) == (
        "stack lab has a snapshot 'fresh' already",
        "another NAME, or make snapshots DELETE=fresh",
    )


@pytest.mark.parametrize("verb", [snapshot.get, snapshot.delete, lambda *names: snapshot.restore(HOST, *names)])
def test_an_unknown_snapshot_is_told_with_those_that_there_are(verb: Any) -> None:
    keep()
    keep(stack="compact", name="other")
    with pytest.raises(StepError) as error:
        verb("lab", "other")
    assert str(error.value) == "stack lab has no snapshot 'other'; stack compact has one; its snapshots: fresh"
    with pytest.raises(StepError, match="has no snapshot 'x'; its snapshots: there are none"):
        verb("empty", "x")


def test_a_snapshot_of_another_program_is_not_gone_back_to() -> None:
    kept = keep()
    (kept.directory / "snapshot.json").write_text(json.dumps(asdict(replace(kept, program="0123456789ab"))))
    with pytest.raises(StepError) as error:
        snapshot.restore(HOST, "lab", "fresh")
    assert str(error.value) == (
        f"snapshot 'fresh' was made by version 0123456789ab of the program, and this is {snapshot.program()}"
    )


def test_a_damaged_snapshot_is_not_gone_back_to() -> None:
    kept = keep()
    (kept.directory / "volumes" / "openstack-node1.qcow2").write_bytes(b"cut")
    (kept.directory / "machines" / "openstack-node1.memory").unlink()
    with pytest.raises(StepError, match=r"damaged: volumes/openstack-node1.qcow2, machines/openstack-node1.memory"):
        snapshot.restore(HOST, "lab", "fresh")


@pytest.mark.parametrize(
    ("there", "told"),
    [([], "/pool: 768 MiB free, up to 3072 MiB wanted"), (["openstack-node1.qcow2"], "machines are looked at")],
)
def test_a_disk_too_small_is_told_before_anything_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], told: str
) -> None:
    """The disk that matters is the pool's; what lies there already is written over."""

    def go_on(*_: object) -> None:
        raise StepError("machines are looked at")

    keep()
    pool = tmp_path / "pool"
    pool.mkdir()
    for name in there:
        (pool / name).touch()
    free = {pool: 1024**3, snapshot.ROOT: 0}
    monkeypatch.setattr(snapshot, "pool_directory", lambda *_: pool)
    monkeypatch.setattr(snapshot, "_allocated", lambda file: 3 * 1024**3 if file.exists() else 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda disk: type("Usage", (), {"free": free[disk]}))
    monkeypatch.setattr(snapshot, "_ours", go_on)
    with pytest.raises(StepError) as error:
        snapshot.restore(HOST, "lab", "fresh")
    assert str(error.value).removeprefix(str(tmp_path)) == told


def test_a_disk_too_small_for_one_is_told_before_the_lab_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    def suspend(*_: object) -> None:
        raise AssertionError("a machine was paused")

    monkeypatch.setattr(made, "by", lambda _, kind, *__: {"openstack-node1": {}} if kind == made.DOMAIN else {})
    monkeypatch.setattr(snapshot, "volumes", lambda *_: {})
    monkeypatch.setattr(snapshot, "_memory", lambda *_: 2048)
    monkeypatch.setattr(snapshot, "_check_machines", lambda *_: None)
    monkeypatch.setattr(snapshot, "_standing_still", suspend)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1024**3}))
    with pytest.raises(StepError, match="768 MiB free, up to 2048 MiB wanted") as error:
        snapshot.take(HOST, "lab", "fresh")
    assert error.value.remedy == "make snapshots DELETE=NAME"
    assert list((snapshot.ROOT / "lab").iterdir()) == []


def test_a_restore_that_was_broken_off_is_repeated_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the disks are of one moment, half of another: machines that booted from them would look like a lab."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    keep()
    for part in ("networks", "machines", "volumes"):
        (snapshot.ROOT / "lab" / "fresh" / part).mkdir(exist_ok=True)
    monkeypatch.setattr(snapshot, "pool_directory", lambda *_: snapshot.ROOT)
    monkeypatch.setattr(snapshot, "_ours", lambda *_: set())
    monkeypatch.setattr(snapshot, "_made_anew", lambda *_: [])
    monkeypatch.setattr(snapshot, "_check_disks", lambda *_: None)
    monkeypatch.setattr(snapshot, "_copy", interrupt)
    snapshot.check_whole("lab")
    with pytest.raises(KeyboardInterrupt):
        snapshot.restore(HOST, "lab", "fresh")
    snapshot.check_whole("compact")
    with pytest.raises(StepError, match="the disks of stack lab are half those of snapshot 'fresh'") as error:
        snapshot.check_whole("lab")
    assert error.value.remedy == "make restore STACK=lab NAME=fresh, or make destroy STACK=lab"
    snapshot.forget("lab")
    snapshot.check_whole("lab")


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', "half a {"])
def test_a_snapshot_whose_description_is_damaged_is_named_and_can_be_deleted(text: str) -> None:
    kept = keep()
    (kept.directory / "snapshot.json").write_text(text)
    for ask in (lambda: snapshot.listing("lab"), lambda: snapshot.restore(HOST, "lab", "fresh")):
        with pytest.raises(StepError, match=r"fresh/snapshot.json is damaged: ") as error:
            ask()
        assert error.value.remedy == f"rm -r {kept.directory}"
    snapshot.delete("lab", "fresh")
    assert snapshot.listing("lab") == []


def test_disks_of_another_stack_without_machines_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody took its machines away, and `make up` would bring them back."""
    keep()
    (snapshot.ROOT / "lab" / "fresh" / "networks").mkdir()
    monkeypatch.setattr(snapshot, "pool_directory", lambda *_: snapshot.ROOT)
    monkeypatch.setattr(snapshot, "_ours", lambda *_: set())
    monkeypatch.setattr(snapshot, "_made_anew", lambda *_: [])
    monkeypatch.setattr(made, "present", lambda *_: {})
    monkeypatch.setattr(made, "owners", lambda *_, **__: {"openstack-node1.qcow2": "compact"})
    with pytest.raises(StepError, match=r"the disk openstack-node1.qcow2 is one of stack compact") as error:
        snapshot.restore(HOST, "lab", "fresh")
    assert error.value.remedy == "make destroy STACK=compact"
    snapshot.check_whole("lab")


def test_an_interrupted_deletion_leaves_no_snapshot_and_the_name_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    keep()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", interrupt)
        with pytest.raises(KeyboardInterrupt):
            snapshot.delete("lab", "fresh")
    assert snapshot.listing("lab") == []
    assert [file.name for file in (snapshot.ROOT / "lab").iterdir()] == [".fresh.part"]
    monkeypatch.setattr(made, "by", lambda *_: {})
    monkeypatch.setattr(snapshot, "volumes", lambda *_: {})
    with pytest.raises(StepError, match="stack lab has no machines"):
        snapshot.take(HOST, "lab", "fresh")
    assert list((snapshot.ROOT / "lab").iterdir()) == []


def test_another_stack_s_machines_of_the_same_names_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks of one checkout share a pool, so that their disks do not tell whose they are."""
    keep()
    monkeypatch.setattr(snapshot, "pool_directory", lambda *_: snapshot.ROOT)
    monkeypatch.setattr(snapshot, "names_in", lambda *_: {"openstack-node1"})
    monkeypatch.setattr(made, "owners", lambda *_: {"openstack-node1": "compact"})
    with pytest.raises(StepError, match="libvirt has the machine openstack-node1 of stack compact") as error:
        snapshot.restore(HOST, "lab", "fresh")
    assert error.value.remedy == "make destroy STACK=compact"


def test_the_programs_version_follows_what_makes_resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    for name in ("__main__.py", "Pulumi.yaml", "components/a.py", "cloud-init/b.yaml", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first")
    before = snapshot.program()
    (tmp_path / "README.md").write_text("second")
    assert snapshot.program() == before
    (tmp_path / "components" / "a.py").write_text("2nd")
    assert snapshot.program() != before
