"""`make clean`: everything that set-up made for this checkout goes; what checkouts share in the cache stays."""

import re
import shutil
from pathlib import Path

from tools import backup, hypervisor, paths, snapshot, stack, steps
from tools.hypervisor import namespace
from tools.steps import StepError

_OURS = re.compile(
    rf"^  {stack.PROJECT}:(?:master|machine)Secret:\n    secure: .*\n|^encryptionsalt: .*\n", re.MULTILINE
)
"""What set-up adds to a stack's file through Pulumi."""


def run() -> None:
    """End the private hypervisor with all in it and delete `.lab`; refuse where machines or secrets would be lost."""
    disposable = namespace.exists() and stack.own_backend()
    bare: dict[Path, str] = {}
    for name in [] if disposable else stack.kept():
        if made := stack.resources(name):
            raise StepError(f"stack {name} still has {len(made)} resources", f"make destroy STACK={name}")
    for name in stack.names() if stack.own_passphrase() else []:
        file = stack.settings_file(name)
        bare[file] = without_secrets(file.name, file.read_text())
    with steps.step("clean", "hypervisor, state and secrets of this checkout"):
        hypervisor.clean()
        for file, text in bare.items():
            if file.read_text() != text:
                file.write_text(text)
        shutil.rmtree(paths.STATE, ignore_errors=True)
        if paths.VENV.is_symlink():
            paths.VENV.unlink()


def keepsakes() -> list[str]:
    """Snapshots and backups, which nothing brings back."""
    kept = {"snapshot": snapshot.ROOT.glob("*/[!.]*"), "backup": backup.ROOT.glob("*/*.backup")}
    return [
        f"{kind} {file.name.removesuffix('.backup')} of {file.parent.name}"
        for kind, files in kept.items()
        for file in sorted(files)
    ]


def without_secrets(name: str, text: str) -> str:
    """A stack's file as it was before set-up; StepError if it holds secrets besides the one that set-up made."""
    bare = _OURS.sub("", text)
    if "secure:" in bare:
        raise StepError(
            f"{name} holds secrets of yours, which only {stack.PASSPHRASE} opens",
            "move that file and set PULUMI_CONFIG_PASSPHRASE_FILE to it, or take the secrets out",
        )
    return bare
