"""A bake takes minutes and gigabytes; its end is tested by the labs that boot from it, its beginning here."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.steps import StepError
from tools.template import bake, recipe


def test_what_a_killed_bake_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".bake-abcdefgh" / "root" / "usr"
    left.mkdir(parents=True)
    (left / "file").write_text("half a template\n")
    (tmp_path / "zed-debian12-0.qcow2").write_text("a whole one\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(bake, "FREE", 1024**6)
    with pytest.raises(StepError, match=r"GiB free, \d+ GiB needed to bake a template"):
        bake.make(recipe.load(recipe.DEFAULT), tmp_path / "zed-debian12-1.qcow2", None)
    assert [file.name for file in tmp_path.iterdir()] == ["zed-debian12-0.qcow2"]


BAKE = """
import subprocess, sys
from tools.template import bake
subprocess.run([*bake.cut_off(), "sh", "-c", sys.argv[1]])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are root's")
def test_nothing_goes_on_for_a_killed_bake(tmp_path: Path) -> None:
    """Whatever its programs have started; they would write into what the next one clears away."""
    beats = tmp_path / "beats"
    script = f"(for beat in $(seq 500); do echo >>{beats}; sleep 0.02; done) & wait"
    with subprocess.Popen([sys.executable, "-c", BAKE, script], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 10
        while not beats.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    time.sleep(0.3)
    size = beats.stat().st_size
    time.sleep(0.3)
    assert beats.stat().st_size == size


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (
            "Types: deb\nURIs: https://user:p%40ss@mirror.example:8080/debian http://mirror.example/debian@2\n",
            "Types: deb\nURIs: https://mirror.example:8080/debian http://mirror.example/debian@2\n",
        ),
        (
            "# https://me@mirror.example/\ndeb [trusted=yes] http://u:secret@mirror.example/debian bookworm main\n",
            "# https://mirror.example/\ndeb [trusted=yes] http://mirror.example/debian bookworm main\n",
        ),
        ("deb https://mirror.example bookworm main\n", "deb https://mirror.example bookworm main\n"),
    ],
    ids=["sources", "list", "without any"],
)
def test_guests_get_the_operator_s_sources_without_passwords(given: str, kept: str) -> None:
    """Anybody in a machine may read them; the bake itself needs them."""
    assert bake.without_users(given) == kept


def test_only_root_bakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StepError, match="the template zed-debian12 is not baked yet, and only root can do that"):
        bake.make(recipe.load(recipe.DEFAULT), tmp_path / "zed-debian12-1.qcow2", None)
    assert not list(tmp_path.iterdir())
