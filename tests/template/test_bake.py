"""A bake takes minutes and gigabytes; its end is tested by the labs that boot from it, its beginning here."""

import os
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
