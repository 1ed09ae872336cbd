"""A libvirtd and a virtlogd of the checkout's own, for machines where none runs: plain daemons in the lab's namespaces.

libvirt's directories are fixed when it is built. So the daemons run in a mount namespace in which these directories
are the checkout's; neither the machine's libvirt nor another checkout's is seen or touched.
"""

import fcntl
import os
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from tools import paths, steps
from tools.hypervisor import namespace
from tools.hypervisor.virsh import delete_domain, delete_network, names
from tools.steps import StepError

SOCKET = paths.RUN / "libvirt-sock"
URI = f"qemu+unix:///system?socket={SOCKET}"
POOL = paths.STATE / "pool"

STATE = paths.STATE / "libvirt"
_LOGS = paths.LOGS / "libvirt"

_DIRECTORIES = {
    Path("/etc/libvirt"): STATE / "etc",
    Path("/var/lib/libvirt"): STATE / "lib",
    Path("/var/cache/libvirt"): STATE / "cache",
    Path("/var/log/libvirt"): _LOGS,
    Path("/run/libvirt"): paths.RUN / "libvirt",
}
"""What stands over libvirt's own directories in the daemons' mount namespace."""

_CONFIGURATION = {
    "libvirtd.conf": f"""\
unix_sock_dir = "{paths.RUN}"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
max_client_requests = 1000
""",
    # Without what libvirt expects of a whole system: cgroups to place guests in, udev, a security module.
    "qemu.conf": """\
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "logd"
""",
    "virtlogd.conf": "",
}

_DAEMONS = ("virtlogd", "libvirtd")
"""In the order of their start."""

_START_SECONDS = 60
_STOP_SECONDS = 30


def command(words: Sequence[str | Path]) -> list[str]:
    """The command line that runs `words` in the lab's namespaces."""
    binds = {**_DIRECTORIES, Path("/etc/hosts"): namespace.HOSTS}
    return namespace.command(words, network=namespace.NETWORK, binds=binds)


def running() -> bool:
    """Whether the namespace and both daemons are there."""
    return namespace.exists() and all(pid(name) for name in _DAEMONS) and _answers()


def start() -> None:
    """Start what is missing. Guests survive a restart of the daemons: libvirtd finds them again in its state."""
    for target, source in _DIRECTORIES.items():
        source.mkdir(parents=True, exist_ok=True)
        target.mkdir(parents=True, exist_ok=True)
    # libvirt expects its package to have made these.
    for directory in (STATE / "lib" / "dnsmasq", _LOGS / "qemu"):
        directory.mkdir(exist_ok=True)
    paths.RUN.chmod(0o700)
    for file, text in _CONFIGURATION.items():
        (STATE / "etc" / file).write_text(text)
    namespace.create()
    for name in _DAEMONS:
        if not pid(name):
            # `--daemon` returns once the daemon is ready; it has a session of its own and outlives set-up.
            binary = f"/usr/sbin/{name}"
            steps.run(command([binary, "--daemon", "--pid-file", _pid_file(name)]), log=name, timeout=_START_SECONDS)
    deadline = time.monotonic() + _START_SECONDS
    while not _answers():
        if time.monotonic() > deadline:
            log = _LOGS / "libvirtd.log"
            raise StepError(f"libvirtd does not answer on {SOCKET}\n{steps.tail(log) if log.exists() else ''}")
        time.sleep(0.1)


def stop() -> None:
    """End the guests, the daemons and the namespace; delete their state and the storage pool."""
    if _guests_left() and not running():
        start()
    if running():
        for domain in names(URI, "list"):
            delete_domain(URI, domain)
        for network in names(URI, "net-list"):
            delete_network(URI, network)
    for name in reversed(_DAEMONS):
        _end(name)
    namespace.remove()
    for directory in (paths.RUN, STATE, _LOGS, POOL):
        shutil.rmtree(directory, ignore_errors=True)


def pid(name: str) -> int | None:
    """Process id of a daemon of ours, None if it does not run. A running daemon holds a lock on its pid file, so that
    a number left behind, by now another process's, is never taken for it.
    """
    try:
        with _pid_file(name).open("r+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except FileNotFoundError:
        pass
    return None


def _pid_file(name: str) -> Path:
    return paths.RUN / f"{name}.pid"


def _answers() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        return client.connect_ex(str(SOCKET)) == 0


def _guests_left() -> bool:
    return any((paths.RUN / "libvirt" / "qemu").glob("*.xml"))


def _end(name: str) -> None:
    process = pid(name)
    if process is None:
        return
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while pid(name) == process:
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
