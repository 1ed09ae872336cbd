"""The lab's own network and mount namespaces: what runs inside sees the lab's bridges, host names and libvirt files.

The network namespace is a named one (`ip netns`). A mount namespace is made anew for every command, since all there
is to it is a handful of bind mounts.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools import mounts, paths
from tools.steps import StepError

NETWORK = Path("/run/netns") / paths.NAME
HOSTS = paths.STATE / "hosts"
"""Stands over /etc/hosts for what runs inside."""

_ETC = Path("/etc/netns") / paths.NAME
"""Where `ip netns exec` looks for files to put over those of /etc."""


_SETTINGS = """ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
# What passes within a bridge is not the packet filter's: it would translate instances' requests for their metadata.
for file in /proc/sys/net/bridge/bridge-nf-call-*; do
    [ ! -e "$file" ] || echo 0 >"$file"
done
"""


def exists() -> bool:
    """Whether the network namespace is there and bound: after a restart of the machine an empty file can remain."""
    return NETWORK.exists() and os.stat(NETWORK).st_dev == os.stat("/proc/self/ns/net").st_dev


def inside() -> bool:
    """Whether this process runs in the lab's network namespace."""
    return exists() and os.path.samestat(os.stat(NETWORK), os.stat("/proc/self/ns/net"))


def write_hosts(lines: str) -> None:
    """Have what `lines` says (in the format of /etc/hosts) known inside, besides what the machine's own file says."""
    text = f"{Path('/etc/hosts').read_text().rstrip()}\n{lines}"
    HOSTS.parent.mkdir(exist_ok=True)
    # In place: a new file would not be seen where this one is mounted already.
    if not HOSTS.exists() or HOSTS.read_text() != text:
        HOSTS.write_text(text)


def create() -> None:
    """Make the network namespace with its loopback up and IPv4 forwarding on, as far as it is not there."""
    _ETC.mkdir(parents=True, exist_ok=True)
    if not (_ETC / "hosts").is_symlink():
        (_ETC / "hosts").symlink_to(HOSTS)
    if not HOSTS.exists():
        write_hosts("")
    if not exists():
        NETWORK.unlink(missing_ok=True)
        _run("ip", "netns", "add", paths.NAME)
    # Not by `ip -n`, which fails in a chroot.
    _run("nsenter", f"--net={NETWORK}", "sh", "-ec", _SETTINGS)


def remove() -> None:
    """Take the network namespace and its hosts file away."""
    if exists():
        _run("ip", "netns", "del", paths.NAME)
    HOSTS.unlink(missing_ok=True)
    (_ETC / "hosts").unlink(missing_ok=True)
    for directory in (_ETC, _ETC.parent):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()


def command(words: Sequence[str | Path], *, network: Path | None, binds: Mapping[Path, Path]) -> list[str]:
    """The command line that runs `words` in `network` (None: the machine's own), each source of `binds` mounted over
    its target, unseen by the rest of the machine. Needs root.
    """
    script = ["set -e"]
    if network:
        # Only a sysfs mounted in a network namespace shows that namespace's interfaces; libvirt reads them there.
        script.append("mount -t sysfs sysfs /sys")
    script += [shlex.join(["mount", "--bind", str(source), str(target)]) for target, source in binds.items()]
    script.append('exec "$@"')
    return [
        *(["nsenter", f"--net={network}"] if network else []),
        *mounts.unshare(),
        *("sh", "-c", "\n".join(script), "sh"),
        *map(str, words),
    ]


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(
            f"{shlex.join(words)}: {done.stderr.strip()}",
            "the private hypervisor needs root and the right to make network namespaces",
        )
