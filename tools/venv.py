"""The virtual environment `.venv`: a link to one in the cache, which all checkouts with the same pins share.

Standard library only: it runs before the virtual environment exists.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from tools import paths, steps

RUNTIME = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"
"""Holds the runtime's requirements as well."""

_STAMP = "requirements.json"
"""In a virtual environment that is complete: the digests of the requirements it was made from, by file."""


def ensure(*, development: bool = False) -> None:
    """Have everything in the requirements installed; with `development` what tests need, too."""
    # Who has run the tests once will run them again.
    want = DEVELOPMENT if development or DEVELOPMENT in installed(paths.VENV) else RUNTIME
    with steps.step("venv", f"Python packages of {want}") as step:
        if installed(paths.VENV).get(want) == _digest(want):
            step.skip("all there")
            return
        place = paths.cache() / "venv" / _digest(want)[:12]
        with steps.lock(paths.cache() / "venv.lock"):
            if installed(place):
                step.skip("cached")
            else:
                _make(place, want)
        link = paths.VENV.with_name(f"{paths.VENV.name}.new")
        link.unlink(missing_ok=True)
        link.symlink_to(place)
        if paths.VENV.is_dir() and not paths.VENV.is_symlink():
            shutil.rmtree(paths.VENV)
        link.rename(paths.VENV)


def installed(place: Path) -> dict[str, str]:
    """Digests of the requirements files that a virtual environment has everything of; empty if it is incomplete."""
    try:
        digests: dict[str, str] = json.loads((place / _STAMP).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return digests if (place / "bin" / "python").exists() else {}


def mark(place: Path, *requirements: str) -> None:
    """Note that a virtual environment has everything in these requirements files."""
    (place / _STAMP).write_text(json.dumps({name: _digest(name) for name in requirements}))


def _make(place: Path, requirements: str) -> None:
    """At its final place, since a virtual environment cannot be moved; the stamp, written last, says it is whole."""
    shutil.rmtree(place, ignore_errors=True)
    steps.run([sys.executable, "-m", "venv", place], log="venv", timeout=300, remedy="apt-get install python3-venv")
    steps.run(
        [place / "bin" / "pip", "install", "--no-input", "--requirement", paths.CHECKOUT / requirements],
        log="pip",
        timeout=1800,
        remedy=f"pip needs a package index that has the pins of {requirements} (PIP_INDEX_URL, or pip.conf)",
    )
    mark(place, RUNTIME, requirements)


def _digest(requirements: str) -> str:
    """Digest of a requirements file and of the Python that the packages are installed for."""
    text = f"{sys.base_prefix} {sys.version}".encode()
    for name in sorted({RUNTIME, requirements}):
        text += (paths.CHECKOUT / name).read_bytes()
    return hashlib.sha256(text).hexdigest()
