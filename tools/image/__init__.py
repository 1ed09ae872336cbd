"""The public image for Glance: the guide's CirrOS, or where that cannot be had a stand-in built from Debian packages.

Standard library only: it belongs to set-up.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools import digest, paths, steps
from tools.image import build
from tools.steps import StepError

__all__ = ["ensure"]

NAME = "cirros-0.5.1"
FILE = f"{NAME}-x86_64-disk.img"
URL = f"http://download.cirros-cloud.net/0.5.1/{FILE}"
SIZE = 16338944
SHA512 = (
    "553d220ed58cfee7dafe003c446a9f197ab5edf8ffc09396c74187cf83873c87"
    "7e7ae041cb80f3b91489acf687183adcd689b53b38e3ddd22e627e7f98a09c46"
)
FETCH_SECONDS = 10
"""Time for the one attempt at fetching CirrOS."""

_DOWNLOAD = """
import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as stream, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(stream, file)
"""


def ensure() -> Path:
    """The image as a qcow2 file in the cache, a hash of its content in its name; get it if it is not there.

    CirrOS is tried for once. What was got in its place stays in use until somebody puts CirrOS's file beside it.

    Raises:
        StepError: the file put there by hand is not CirrOS, or neither CirrOS nor the stand-in can be had.
    """
    directory = paths.cache() / "images"
    chosen = directory / f"public-{key()}"
    by_hand = directory / FILE
    with steps.step("image", "the public image") as step:
        if chosen.exists() and not by_hand.exists():
            step.skip(f"cached: {chosen.resolve().name}")
            return chosen.resolve()
        with steps.lock(directory / "public.lock"):
            if by_hand.exists():
                _choose(chosen, _take(by_hand))
            elif not chosen.exists():
                _choose(chosen, _get(directory))
        image = chosen.resolve()
        step.skip(f"{image.name}, {image.stat().st_size / 1e6:.1f} MB")
        return image


def key() -> str:
    """Follows what the image is to be: another CirrOS or another recipe of the stand-in gives another key."""
    return hashlib.sha256(f"{URL} {SHA512} {digest.of(build.HERE)}".encode()).hexdigest()[:12]


def _take(file: Path) -> Path:
    try:
        _check(file)
    except ValueError as error:
        raise StepError(f"{file}: {error}", f"put {URL} there, or remove the file") from error
    return _keep(file, file.parent, NAME)


def _get(directory: Path) -> Path:
    for left in directory.glob(".image-*"):  # by a process that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".image-", dir=directory) as name:
        work = Path(name)
        file = work / "image.qcow2"
        try:
            _fetch(file)
            _check(file)
        except ValueError as error:
            print(f"    no {NAME} from {URL} ({error}): building a stand-in of Linux, busybox and dropbear", flush=True)
        else:
            return _keep(file, directory, NAME)
        build.make(file, work=work, remedy=f"put {URL} into {directory}")
        return _keep(file, directory, build.NAME)


def _fetch(file: Path) -> None:
    """One attempt. It is a process of its own, since nothing else bounds the time for looking up a name."""
    command = [sys.executable, "-c", _DOWNLOAD, URL, str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"not there after {FETCH_SECONDS} s") from error
    if done.returncode:
        raise ValueError(done.stderr.strip().rpartition("\n")[2])


def _check(file: Path) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha512").hexdigest()
    if found != SHA512:
        raise ValueError(f"{file.stat().st_size} bytes of SHA-512 {found[:12]}…, not {SIZE} bytes of {SHA512[:12]}…")


def _keep(file: Path, directory: Path, name: str) -> Path:
    """Give the file the name that it keeps for good."""
    with file.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    file.chmod(0o644)
    return file.rename(directory / f"{name}-{checksum[:12]}.qcow2")


def _choose(chosen: Path, image: Path) -> None:
    """Have `chosen` point to the image."""
    new = chosen.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.symlink_to(image.name)
    new.rename(chosen)
