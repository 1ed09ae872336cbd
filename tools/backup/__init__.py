"""Backups: all databases and Keystone's keys at one moment, encrypted by the stack's passphrase.

One file each, `.lab/backups/STACK/NAME.backup`: a line of JSON (see `Header`), then AES-256-GCM with that line as
associated data over a tar of `databases.sql.gz` and `keystone-keys.tar.gz`. Images and instances' disks are not in it.
"""

import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tools import names, paths, stack
from tools.steps import StepError

ROOT = paths.STATE / "backups"

DATABASES = "databases.sql.gz"
KEYS = "keystone-keys.tar.gz"

SECONDS = 300
"""Limit of reading or loading all databases."""

_FORMAT = 2
_NONCE_BYTES = 12


class Lab(NamedTuple):
    """What a backup and the lab that it is loaded into have to agree in; see `Header`."""

    release: str
    databases: tuple[str, ...]
    passwords: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is known of a backup without its passphrase.

    `passwords`: fingerprint of the users' passwords, which are in Keystone's database. `made`: UTC, ISO 8601. `salt`:
    16 bytes in hex.
    """

    stack: str
    name: str
    release: str
    databases: tuple[str, ...]
    passwords: str
    made: str
    salt: str
    format: int = _FORMAT


def header(stack_name: str, name: str, lab: Lab) -> Header:
    """The header of a backup that is made now."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Header(stack=stack_name, name=name, **lab._asdict(), made=made, salt=os.urandom(16).hex())


def path(stack_name: str, name: str) -> Path:
    """Where a backup lies."""
    return ROOT / stack_name / f"{name}.backup"


def vacant(stack_name: str, name: str) -> Path:
    """Where a new backup of that name will lie; StepError if there is one, or the name is not allowed."""
    names.check(name)
    file = path(stack_name, name)
    if file.exists():
        raise StepError(f"stack {stack_name} has a backup {name!r} already", f"another NAME, or rm {file}")
    return file


def listing(stack_name: str) -> list[tuple[Header, int]]:
    """The stack's backups and their sizes in bytes, oldest first."""
    found = [(_split(file)[0], file.stat().st_size) for file in (ROOT / stack_name).glob("*.backup")]
    return sorted(found, key=lambda each: each[0].made)


def write(file: Path, head: Header, parts: Mapping[str, bytes]) -> None:
    """Encrypt the parts into a file that only its owner may read."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    line = json.dumps(asdict(head)).encode()
    nonce = os.urandom(_NONCE_BYTES)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        target.write(line + b"\n" + nonce + _cipher(head).encrypt(nonce, content.getvalue(), line))
    part.rename(file)


def read(stack_name: str, name: str, lab: Lab) -> dict[str, bytes]:
    """The parts of a backup; StepError if there is none, it is damaged, or it does not fit the lab."""
    file = path(stack_name, name)
    if not names.allowed(name) or not file.exists():
        own = ", ".join(each.name for each, _ in listing(stack_name)) or "there are none"
        raise StepError(f"stack {stack_name} has no backup {name!r}; its backups: {own}", "make backups")
    head, line, sealed = _split(file)
    for what, has, wants in (
        ("stack", head.stack, stack_name),
        ("release", head.release, lab.release),
        ("databases", ", ".join(head.databases), ", ".join(lab.databases)),
    ):
        if has != wants:
            raise StepError(f"{file}: made of {what} {has}, and this is {wants}")
    if head.passwords != lab.passwords:
        raise StepError(
            f"{file}: the users had other passwords then, with which nobody could log in to this lab",
            f"bring the secrets in Pulumi.{stack_name}.yaml back as they were, `make up`, and again",
        )
    try:
        content = _cipher(head).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], line)
    except InvalidTag as error:
        raise StepError(f"{file}: damaged, or made with another passphrase") from error
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def _split(file: Path) -> tuple[Header, bytes, bytes]:
    line, _, sealed = file.read_bytes().partition(b"\n")
    try:
        fields = json.loads(line)
        if fields["format"] != _FORMAT:
            raise StepError(f"{file}: format {fields['format']}, not {_FORMAT}", f"rm {file}")
        head = Header(**{**fields, "databases": tuple(fields["databases"])})
    except (ValueError, TypeError, KeyError) as error:
        raise StepError(f"{file}: no backup, or damaged at its beginning", f"rm {file}") from error
    return head, line, sealed


def _cipher(head: Header) -> AESGCM:
    return AESGCM(stack.stretched(bytes.fromhex(head.salt))[:32])
