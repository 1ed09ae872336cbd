"""The virtual environment `.venv`, made from the pinned requirements and made anew when these change.

Standard library only: it runs before the virtual environment exists.
"""

import hashlib
import json
import shutil
import sys

from tools import paths, steps

RUNTIME = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"
"""Holds the runtime's requirements as well."""

_STAMP = paths.VENV / "requirements.json"
"""What was installed: digests of the requirements, by file."""


def ensure(*, development: bool = False) -> None:
    """Have everything in the requirements installed; with `development` what tests need, too."""
    want = DEVELOPMENT if development else RUNTIME
    with steps.step("venv", f"Python packages of {want}") as step, steps.lock(paths.STATE / "venv.lock"):
        have = _installed()
        if have.get(want) == _digest(want):
            step.skip("all there")
            return
        if not have:
            shutil.rmtree(paths.VENV, ignore_errors=True)
            steps.run(
                [sys.executable, "-m", "venv", paths.VENV],
                log="venv",
                timeout=120,
                remedy="apt-get install python3-venv",
            )
        _STAMP.unlink(missing_ok=True)
        steps.run(
            [paths.VENV / "bin" / "pip", "install", "--no-input", "--requirement", paths.CHECKOUT / want],
            log="pip",
            timeout=1800,
            remedy=f"pip needs a package index that has the pins of {want} (PIP_INDEX_URL, or index-url in pip.conf)",
        )
        mark(RUNTIME, want)


def mark(*requirements: str) -> None:
    """Note that everything in these requirements files is installed."""
    _STAMP.write_text(json.dumps({name: _digest(name) for name in requirements}))


def _installed() -> dict[str, str]:
    """The stamp's digests; none if anything in it, or Python itself, has changed since."""
    try:
        have: dict[str, str] = json.loads(_STAMP.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    unchanged = all(_digest(name) == digest for name, digest in have.items())
    return have if unchanged and (paths.VENV / "bin" / "python").exists() else {}


def _digest(requirements: str) -> str:
    """Digest of a requirements file and of the Python that the packages were installed for."""
    text = sys.version.encode()
    for name in (RUNTIME, requirements):
        text += (paths.CHECKOUT / name).read_bytes()
    return hashlib.sha256(text).hexdigest()
