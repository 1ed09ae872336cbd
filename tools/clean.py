"""`make clean`: everything that set-up made for this checkout goes; what checkouts share in the cache stays."""

import re
import shutil
from pathlib import Path

from tools import backup, hypervisor, made, paths, snapshot, stack, steps
from tools.hypervisor import namespace
from tools.steps import StepError

_OURS = re.compile(
    rf"^  {stack.PROJECT}:(?:master|machine)Secret:\n    secure: .*\n|^encryptionsalt: .*\n", re.MULTILINE
)
"""What set-up adds to a stack's file through Pulumi."""


def run() -> None:
    """End the private hypervisor with all in it and delete `.lab`.

    StepError, with nothing changed, where somebody works on a stack, or its machines are in another hypervisor.

    The passphrase stays where a stack's file holds secrets that nothing else opens.
    """
    disposable = namespace.exists() and stack.own_backend()
    for name in stack.kept():
        stack.unlock(name)
        if not disposable and (resources := stack.resources(name)):
            raise StepError(f"stack {name} still has {len(resources)} resources", f"make destroy STACK={name}")
    files = [stack.settings_file(name) for name in stack.names()] if stack.own_passphrase() else []
    bare = {file: without_secrets(file.read_text()) for file in files}
    locked = [file.name for file, text in bare.items() if text is None]
    with steps.step("clean", "hypervisor, state and secrets of this checkout") as step:
        hypervisor.clean()
        for file, text in bare.items():
            if text is not None and file.read_text() != text:
                file.write_text(text)
        if locked:
            _empty(paths.STATE, but=stack.PASSPHRASE)
            step.skip(f"{stack.PASSPHRASE} stays: it opens secrets in {', '.join(locked)}")
        else:
            shutil.rmtree(paths.STATE, ignore_errors=True)
        if paths.VENV.is_symlink():
            paths.VENV.unlink()


def _empty(directory: Path, *, but: Path) -> None:
    """Delete everything in a directory, one file excepted."""
    for each in directory.iterdir():
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        elif each != but:
            each.unlink()


def keepsakes() -> list[str]:
    """Machines, snapshots and backups, which nothing brings back."""
    labs = [f"the machines of stack {name}" for name in stack.kept() if made.by(name, made.DOMAIN)]
    kept = {"snapshot": snapshot.ROOT.glob("*/[!.]*"), "backup": backup.ROOT.glob("*/*.backup")}
    return labs + [
        f"{kind} {file.name.removesuffix('.backup')} of {file.parent.name}"
        for kind, files in kept.items()
        for file in sorted(files)
    ]


def without_secrets(text: str) -> str | None:
    """A stack's file as it was before set-up; None if it holds secrets besides those that set-up and rotation made."""
    bare = _OURS.sub("", text)
    return None if "secure:" in bare else bare
