"""The verbs of `python -m tools`."""

from collections.abc import Sequence

from tools import hypervisor, shell


def main(argv: Sequence[str]) -> int:
    """Run the verb that the first word names."""
    verb, *rest = argv
    if verb == "shell":
        return shell.main(rest)
    if verb == "hypervisor-clean":
        hypervisor.clean()
    return 0
