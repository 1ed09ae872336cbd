"""A shell, or one command, where the lab's addresses and host names are known and Pulumi's environment is set."""

import os
import sys
from collections.abc import Sequence

from tools import hypervisor


def main(argv: Sequence[str]) -> int:
    """Run a command, or without one the user's shell, in the lab's namespaces; the status is the command's."""
    words = list(argv) or [os.environ.get("SHELL", "/bin/bash")]
    host = hypervisor.ensure()
    os.environ["LIBVIRT_DEFAULT_URI"] = host.uri
    command = host.command(words)
    sys.stdout.flush()
    os.execvp(command[0], command)
