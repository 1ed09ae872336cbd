"""The copies of the checkout that tests on real machines work in."""

import subprocess
from pathlib import Path

from tests import checkout
from tools import paths


def test_a_copy_has_every_file_and_link(tmp_path: Path) -> None:
    """Links of a template too, which lead nowhere outside of it; and so has a copy over an earlier one."""
    for _ in range(2):
        checkout.copy_to(tmp_path)
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=paths.CHECKOUT, text=True).rstrip("\0").split("\0")
    kept = {name for name in listed if (paths.CHECKOUT / name).is_symlink() or (paths.CHECKOUT / name).exists()}
    assert {name for name in kept if not (tmp_path / name).is_symlink() and not (tmp_path / name).exists()} == set()
    links = {name for name in kept if (paths.CHECKOUT / name).is_symlink()}
    assert {name: (tmp_path / name).readlink() for name in links} == {
        name: (paths.CHECKOUT / name).readlink() for name in links
    }
    assert links
