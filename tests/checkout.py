"""Copies of this checkout, for tests that run its tools without touching its own state."""

import shutil
import subprocess
from pathlib import Path

from tools import clean, paths


def copy_to(directory: Path) -> None:
    """All files that git would commit, without what set-up adds to the stacks' files, and the virtual environment.

    What an earlier copy left there is replaced.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=paths.CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in listed.split("\0"):
        source = paths.CHECKOUT / name
        # A template's link may point to what only the template has.
        if name and (source.is_file() or source.is_symlink()):
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    for file in directory.glob("Pulumi.*.yaml"):
        text = clean.without_secrets(file.read_text())
        assert text is not None, f"{file.name} holds secrets of yours"
        file.write_text(text)
    (directory / ".venv").unlink(missing_ok=True)
    (directory / ".venv").symlink_to(paths.VENV)
