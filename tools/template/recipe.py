"""What the template of a release is made from: a directory of data beside this file, named like the release.

A release that is packaged like another names that one in `like` and has only what differs: a file of the same name
takes the other's place; lists of names are added to, and a name after a minus sign is taken away.
"""

import hashlib
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.steps import StepError

HERE = Path(__file__).resolve().parent
DEFAULT = "zed-debian12"


@dataclass(frozen=True)
class Recipe:
    """The data of one release's template."""

    release: str
    directories: tuple[Path, ...]
    """The other release's, if there is one, then its own; once laid out, just one."""
    suites: tuple[str, ...]
    """Debian suites, the one that gives the base system first."""
    origin: str
    """Vendor of the suites, as their indexes name it."""
    packages: tuple[str, ...]
    key_packages: tuple[str, ...]
    options: dict[str, Any]
    key: str
    """Changes with everything that makes the template; 12 hex digits."""

    @property
    def directory(self) -> Path:
        """Where all of its files lie."""
        (directory,) = self.directories
        return directory

    def laid_out(self, directory: Path) -> "Recipe":
        """The same recipe with all of its files in a new directory of its own."""
        for each in self.directories:
            shutil.copytree(each, directory, symlinks=True, dirs_exist_ok=True)
        for file in directory.glob("*.txt"):
            file.write_text("".join(f"{name}\n" for name in _merged(self.directories, file.name)))
        return replace(self, directories=(directory,))


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
    directories: tuple[Path, ...] = (directory,)
    if "like" in data:
        directories = (HERE / data["like"], directory)
        other = tomllib.loads((HERE / data["like"] / file.name).read_text())
        data = {**other, **data, "options": {**other["options"], **data.get("options", {})}}
    return Recipe(
        release=release,
        directories=directories,
        suites=tuple(data["suites"]),
        origin=data["origin"],
        packages=tuple(_merged(directories, "packages.txt")),
        key_packages=tuple(data["key_packages"]),
        options={name: table for name, table in data["options"].items() if table["namespaces"]},
        key=_key(directories),
    )


def _merged(directories: Sequence[Path], file: str) -> list[str]:
    """The names in the lists of that name, without those that a later one takes away.

    Raises:
        StepError: a name stands there twice, or is taken away and was not there.
    """
    merged: list[str] = []
    for path in (directory / file for directory in directories if (directory / file).is_file()):
        for name in names(path):
            gone = name.removeprefix("-")
            if (name in merged) or (gone != name and gone not in merged):
                raise StepError(f"{path}: {f'named twice: {name}' if gone == name else f'not there: {gone}'}")
            if gone == name:
                merged.append(name)
            else:
                merged.remove(gone)
    return merged


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


def _key(directories: Sequence[Path]) -> str:
    """Hash over the recipe and the code that carries it out: names, modes, contents."""
    digest = hashlib.sha256()
    files = [
        *(file for directory in directories for file in directory.rglob("*")),
        *HERE.glob("*.py"),
        *HERE.glob("*.sh"),
    ]
    for file in sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts):
        executable = bool(file.stat().st_mode & 0o100)
        digest.update(f"{file.relative_to(HERE)}\0{executable}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
