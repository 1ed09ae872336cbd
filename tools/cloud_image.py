"""An image of the user's own in place of the template or the public image: a file, or fetched once into the cache."""

import hashlib
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from tools import paths, steps
from tools.steps import StepError

CONNECT_SECONDS = 30
_URL = re.compile(r"https?://\S+")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")


def obtain(key: str, source: str, sha256: str) -> Path:
    """The image at `source` (path or URL) with that checksum, as a file; raise StepError if it cannot be had.

    `key` is the configuration's: template or image; the checksum's is the same with Sha256 behind it.
    """
    if not _CHECKSUM.fullmatch(sha256):
        raise StepError(
            f"openstack-lab:{key}Sha256: {sha256!r} is not allowed; allowed: 64 hexadecimal digits",
            "sha256sum IMAGE",
        )
    with steps.step(key, f"{source}, which the configuration names") as step:
        kept = paths.cache() / "images" / sha256
        if kept.exists():
            step.skip("cached")
            return kept
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{paths.LAB_ID}")
        try:
            _copy(key, source, sha256, part)
            _check_format(key, part, source)
            part.rename(kept)
        finally:
            part.unlink(missing_ok=True)
        return kept


def _copy(key: str, source: str, sha256: str, target: Path) -> None:
    digest = hashlib.sha256()
    try:
        with _open(source) as stream, target.open("wb") as file:
            while block := stream.read(1 << 20):
                digest.update(block)
                file.write(block)
    except (OSError, urllib.error.URLError) as error:
        raise StepError(
            f"openstack-lab:{key}: {source!r} cannot be read: {error}",
            "set it to the path of a qcow2 image, or to an address that this machine reaches",
        ) from error
    if digest.hexdigest() != sha256:
        raise StepError(
            f"openstack-lab:{key}: {source!r} has the checksum {digest.hexdigest()}, not {sha256}",
            f"set openstack-lab:{key}Sha256 to the publisher's checksum of this very file",
        )


def _open(source: str) -> IO[bytes]:
    if _URL.fullmatch(source):
        return urllib.request.urlopen(source, timeout=CONNECT_SECONDS)  # type: ignore[no-any-return]
    return Path(source).expanduser().open("rb")


def _check_format(key: str, file: Path, source: str) -> None:
    if shutil.which("qemu-img"):
        info = subprocess.run(["qemu-img", "info", file], capture_output=True, text=True, check=False, timeout=60)
        if "file format: qcow2" not in info.stdout:
            raise StepError(
                f"openstack-lab:{key}: {source!r} is not a qcow2 image", "qemu-img convert -O qcow2 IMAGE NEW"
            )
