"""The public image for Glance: the guide's CirrOS, or where that cannot be had a stand-in built from Debian packages.

Standard library only: it belongs to set-up.
"""

import hashlib
import os
import tempfile
import time
import urllib.request
from pathlib import Path

from tools import paths, steps
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


def ensure() -> Path:
    """The image as a qcow2 file in the cache, a hash of its content in its name; get it if it is not there.

    CirrOS is tried for once. What was got in its place stays in use until somebody puts CirrOS's file beside it.

    Raises:
        StepError: the file put there by hand is not CirrOS, or neither CirrOS nor the stand-in can be had.
    """
    directory = paths.cache() / "images"
    chosen = directory / f"public-{_key()}"
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


def _key() -> str:
    """Follows what the image is to be: another CirrOS or another recipe of the stand-in gives another key."""
    return hashlib.sha256(f"{URL} {SHA512} {build.key()}".encode()).hexdigest()[:12]


def _take(file: Path) -> Path:
    try:
        _check(file)
    except ValueError as error:
        raise StepError(f"{file}: {error}", f"put {URL} there, or remove the file") from error
    return _keep(file, NAME)


def _get(directory: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix=".image-", dir=directory) as name:
        work = Path(name)
        file = work / FILE
        try:
            _fetch(URL, file)
            _check(file)
        except (OSError, ValueError) as error:
            print(f"    no {NAME} from {URL} ({error}): building a stand-in of Linux, busybox and dropbear", flush=True)
        else:
            return _keep(file.rename(directory / file.name), NAME)
        made = work / "stand-in.qcow2"
        build.make(made, work=work, remedy=f"put {URL} into {directory}")
        return _keep(made.rename(directory / made.name), build.NAME)


def _fetch(url: str, file: Path) -> None:
    """One attempt; what was got until its time is over is not an image."""
    end = time.monotonic() + FETCH_SECONDS
    with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as stream, file.open("wb") as out:
        while block := stream.read1(1 << 16):
            out.write(block)
            if time.monotonic() > end:
                raise TimeoutError(f"not complete after {FETCH_SECONDS} s")


def _check(file: Path) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha512").hexdigest()
    if found != SHA512:
        raise ValueError(f"{file.stat().st_size} bytes of SHA-512 {found[:12]}…, not {SIZE} of {SHA512[:12]}…")


def _keep(file: Path, name: str) -> Path:
    """Give the file the name that it keeps for good."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    file.chmod(0o644)
    return file.rename(file.with_name(f"{name}-{digest[:12]}.qcow2"))


def _choose(chosen: Path, image: Path) -> None:
    """Have `chosen` point to the image."""
    new = chosen.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.symlink_to(image.name)
    os.replace(new, chosen)
