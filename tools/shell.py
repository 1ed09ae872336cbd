"""A shell, or one command, where the lab's addresses and host names are known and Pulumi's environment is set."""

import os
import sys
from collections.abc import Sequence

from tools import paths, stack
from tools.hypervisor import Hypervisor


def enter(hypervisor: Hypervisor, words: Sequence[str] = ()) -> None:
    """Become `words`, or the user's shell; does not return."""
    environment = stack.environment(hypervisor)
    environment["PATH"] = f"{paths.VENV / 'bin'}:{environment['PATH']}"
    if not words and sys.stdin.isatty():
        print("`pulumi up -s lab`, `pulumi preview`, `virsh list` work here; `exit` leaves")
    command = hypervisor.command(words or [environment.get("SHELL", "/bin/bash")])
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(command[0], command, environment)
