"""A snapshot as the beginning of another stack; a real one is made by the fault tests."""

import json
from pathlib import Path

import pytest

from tests.unit.test_snapshot import keep
from tools import clone, paths, snapshot
from tools.steps import StepError

URN = "urn:pulumi:lab::openstack-lab::"
STATE = json.dumps(
    {
        "deployment": {
            "resources": [
                {"urn": f"{URN}pulumi:pulumi:Stack::openstack-lab-lab", "type": "pulumi:pulumi:Stack"},
                {
                    "urn": f"{URN}lab:cloud:ClientFiles$command:local:Command::demo-key",
                    "parent": f"{URN}lab:cloud:ClientFiles::clients",
                    "provider": f"{URN}pulumi:providers:command::default::0123",
                    "inputs": {"create": "mkdir -p /x/.lab/openrc/lab && cat >/x/.lab/openrc/lab/demo-key"},
                },
            ]
        }
    }
)


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a snapshot `fresh` of stack `lab`."""
    for name in ("__main__.py", "Pulumi.yaml", "Pulumi.lab.yaml"):
        (tmp_path / name).write_text(f"{name}\n")
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    monkeypatch.setattr(snapshot, "ROOT", tmp_path / "snapshots")
    kept = keep(files={"volumes/disk.qcow2": 4096, "state.json": len(STATE), "stack.yaml": 13})
    (kept.directory / "state.json").write_text(STATE)
    (kept.directory / "stack.yaml").write_text("config: {}\n  ")
    return tmp_path


def test_the_clone_is_a_snapshot_of_another_stack_that_shares_the_big_files(checkout: Path) -> None:
    clone.clone("lab", "fresh", "second")
    [copy] = snapshot.listing("second")
    assert (copy.stack, copy.name, copy.machines) == ("second", "fresh", snapshot.get("lab", "fresh").machines)
    volumes = [snapshot.ROOT / each / "fresh" / "volumes" / "disk.qcow2" for each in ("lab", "second")]
    assert volumes[0].samefile(volumes[1])
    assert (checkout / "Pulumi.second.yaml").read_text() == "config: {}\n  "
    assert (snapshot.ROOT / "lab" / "fresh" / "state.json").read_text() == STATE
    assert (copy.directory / "state.json").stat().st_size == copy.files["state.json"]


def test_the_clone_s_state_speaks_of_the_other_stack_alone() -> None:
    clone.clone("lab", "fresh", "second")
    text = (snapshot.get("second", "fresh").directory / "state.json").read_text()
    wanted = STATE
    for before in ("urn:pulumi:", "::openstack-lab-", "openrc/"):
        wanted = wanted.replace(f"{before}lab", f"{before}second")
    assert text == wanted


def test_a_former_stack_s_snapshot_is_in_the_way_of_a_clone(checkout: Path) -> None:
    clone.clone("lab", "fresh", "second")
    (checkout / "Pulumi.second.yaml").unlink()
    before = sorted(checkout.rglob("*"))
    with pytest.raises(StepError, match="a former stack second has a snapshot 'fresh'") as error:
        clone.clone("lab", "fresh", "second")
    assert error.value.remedy == "another TO, or make snapshots STACK=second DELETE=fresh"
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "to", "told"),
    [
        ("other", "second", "stack lab has no snapshot 'other'"),
        ("fresh", "lab", r"there is a stack lab already \(Pulumi.lab.yaml\)"),
        ("fresh", "Second", "TO: 'Second' is not allowed; allowed: lower-case letters"),
        ("fresh", "../x", "TO: '../x' is not allowed"),
    ],
)
def test_what_cannot_be_cloned_is_told_and_nothing_is_made(checkout: Path, name: str, to: str, told: str) -> None:
    before = sorted(checkout.rglob("*"))
    with pytest.raises(StepError, match=told):
        clone.clone("lab", name, to)
    assert sorted(checkout.rglob("*")) == before
