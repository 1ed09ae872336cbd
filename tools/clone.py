"""`make clone`: a snapshot as the beginning of another stack, which then goes ways of its own.

Both have machines of the same names and addresses: in one checkout only one of them can be up.
"""

import json
import os
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from tools import paths, snapshot, stack
from tools.steps import StepError

_STACK = re.compile(r"[a-z][a-z0-9-]{0,30}")


def clone(stack_name: str, name: str, to: str) -> snapshot.Snapshot:
    """Make the stack `to` with a snapshot of the same name, the files of which are shared.

    StepError, with nothing changed, if there is no such snapshot, or a stack `to` already.
    """
    origin = snapshot.get(stack_name, name)
    if not _STACK.fullmatch(to):
        raise StepError(
            f"TO: {to!r} is not allowed; allowed: lower-case letters, digits and '-', 31 at most, the first a letter"
        )
    file = stack.settings_file(to)
    if file.exists():
        raise StepError(f"there is a stack {to} already ({file.name})", "another TO")
    if (snapshot.ROOT / to / name).exists():
        raise StepError(
            f"a former stack {to} has a snapshot {name!r}", f"another TO, or make snapshots STACK={to} DELETE={name}"
        )
    state = renamed((origin.directory / "state.json").read_text(), stack_name, to)
    copy = replace(origin, stack=to, files=origin.files | {"state.json": len(state.encode())})
    part = snapshot.unfinished(copy.directory)
    shutil.rmtree(part, ignore_errors=True)
    # What is big is only ever read.
    shutil.copytree(origin.directory, part, copy_function=os.link)
    for own, text in (("state.json", state), ("snapshot.json", json.dumps(asdict(copy), indent=2) + "\n")):
        _write(part / own, text)
    part.rename(copy.directory)
    shutil.copyfile(copy.directory / "stack.yaml", file)
    return copy


def renamed(state: str, stack_name: str, to: str) -> str:
    """An exported state as that of another stack: its URNs, and the paths of its client files."""
    before = f"urn:pulumi:|::{stack.PROJECT}-|/{paths.CLIENTS.name}/"
    return re.sub(rf"({before}){re.escape(stack_name)}(?![a-z0-9-])", rf"\g<1>{to}", state)


def _write(file: Path, text: str) -> None:
    """In place of a link to the origin's."""
    file.unlink()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        target.write(text)
