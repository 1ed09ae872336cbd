"""What the template of a release is made from: a directory of data beside this file, named like the release."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.steps import StepError

HERE = Path(__file__).resolve().parent
DEFAULT = "zed-debian12"


@dataclass(frozen=True)
class Recipe:
    """The data of one release's template."""

    release: str
    directory: Path
    suites: tuple[str, ...]
    """Debian suites, the one that gives the base system first."""
    origin: str
    """Vendor of the suites, as their indexes name it."""
    packages: tuple[str, ...]
    key_packages: tuple[str, ...]
    options: dict[str, Any]
    key: str
    """Changes with everything that makes the template; 12 hex digits."""


def load(release: str) -> Recipe:
    """Read the recipe of a release.

    Raises:
        StepError: there is none, or one of its files is wrong.
    """
    directory = HERE / release
    file = directory / "release.toml"
    if not file.is_file():
        known = ", ".join(sorted(path.parent.name for path in HERE.glob("*/release.toml")))
        raise StepError(
            f"release {release!r}: no template can be baked; there are recipes for: {known}",
            "set openstack-lab:template to a cloud image of that distribution",
        )
    data = tomllib.loads(file.read_text())
    packages = names(directory / "packages.txt")
    doubled = sorted({name for name in packages if packages.count(name) > 1})
    if doubled:
        raise StepError(f"{directory / 'packages.txt'}: named twice: {', '.join(doubled)}")
    return Recipe(
        release=release,
        directory=directory,
        suites=tuple(data["suites"]),
        origin=data["origin"],
        packages=tuple(packages),
        key_packages=tuple(data["key_packages"]),
        options=data["options"],
        key=_key(directory),
    )


def names(file: Path) -> list[str]:
    """The names in a file of `name  # reason` lines.

    Raises:
        StepError: a line has more than one name, or no reason.
    """
    found = []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        name, _, reason = (part.strip() for part in line.partition("#"))
        if not name:
            continue
        if len(name.split()) > 1 or not reason:
            raise StepError(f"{file}:{number}: {line!r} is not allowed; allowed: NAME  # REASON")
        found.append(name)
    return found


def _key(directory: Path) -> str:
    """Hash over the recipe and the code that carries it out: names, modes, contents."""
    digest = hashlib.sha256()
    files = [*directory.rglob("*"), *HERE.glob("*.py"), *HERE.glob("*.sh")]
    for file in sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts):
        executable = bool(file.stat().st_mode & 0o100)
        digest.update(f"{file.relative_to(HERE)}\0{executable}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
