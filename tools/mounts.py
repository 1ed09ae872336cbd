"""Mount namespaces: what is mounted in one is unseen by the rest of the machine, and gone with its last process."""

from pathlib import Path


def unshare() -> list[str]:
    """The words that run a command in a mount namespace of its own. Needs root."""
    return ["unshare", "--mount", "--propagation", "private" if _root_is_mount() else "unchanged"]


def _root_is_mount() -> bool:
    """False in a chroot, where the propagation of / cannot be changed."""
    return any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines())
