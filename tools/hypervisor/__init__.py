"""The hypervisor the lab runs on: the machine's own libvirt where it answers, else a private one."""

import json
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import paths, steps
from tools.hypervisor import kvm, namespace, private
from tools.hypervisor.virsh import delete_pool, ensure_pool, names
from tools.steps import StepError

SYSTEM_URI = "qemu:///system"
SYSTEM_POOL = Path("/var/lib/libvirt/images") / paths.NAME
"""Under the one directory that distributions' AppArmor profiles allow."""

_SYSTEM_SOCKET = Path("/run/libvirt/libvirt-sock")
_SYSTEMD = Path("/run/systemd/system")


@dataclass(frozen=True)
class Hypervisor:
    """A libvirt that answers, with a storage pool of this checkout's.

    `domain_type` is "kvm" or "qemu" (emulation); `namespace` names the network namespace of a private hypervisor and is
    None on the machine's own.
    """

    uri: str
    pool: str
    domain_type: str
    namespace: str | None

    def command(self, words: Sequence[str | Path]) -> list[str]:
        """The command line that runs `words` where the lab's addresses and host names are known."""
        if self.namespace:
            return private.command(words)
        if os.geteuid() == 0 and namespace.HOSTS.exists():
            return namespace.command(words, network=None, binds={Path("/etc/hosts"): namespace.HOSTS})
        return [str(word) for word in words]

    def verb(self, stack: str, *words: str) -> list[str]:
        """The command line that runs a verb of these tools there, for a stack."""
        return self.command([sys.executable, "-m", "tools", "--stack", stack, *words])

    def entered(self) -> bool:
        """Whether this process runs where the lab's addresses and host names are known, as far as it can."""
        if self.namespace:
            return namespace.inside()
        return os.geteuid() != 0 or not namespace.HOSTS.exists() or os.path.samefile("/etc/hosts", namespace.HOSTS)


def ensure() -> Hypervisor:
    """The hypervisor, started where need be, with its pool. Takes milliseconds when it is there already."""
    with steps.step("hypervisor", "libvirt, and whether KVM works") as step:
        uri, pool, name = _place()
        if name:
            private.start()
        ensure_pool(uri, paths.NAME, pool)
        verdict = kvm.probe()
        place = f"private libvirtd in network namespace {name}" if name else uri
        step.skip(f"{place}; {'KVM' if verdict.works else f'emulation (TCG), since {verdict.why}'}")
    return Hypervisor(uri, paths.NAME, verdict.domain_type, name)


def known() -> Hypervisor:
    """The hypervisor that set-up has brought, without starting anything; StepError if there is none."""
    try:
        facts = json.loads(paths.HOST_FACTS.read_text())
    except FileNotFoundError as error:
        raise StepError("nothing is set up here", "make setup") from error
    if facts["libvirt_uri"] == private.URI and not private.running():
        raise StepError("the private hypervisor does not run", "make setup")
    name = paths.NAME if facts["libvirt_uri"] == private.URI else None
    return Hypervisor(facts["libvirt_uri"], facts["pool"], facts["domain_type"], name)


def clean() -> None:
    """Take away what `ensure` made: a private hypervisor with all its guests; of the machine's own only the pool."""
    if private.STATE.exists() or paths.RUN.exists() or namespace.exists():
        private.stop()
    elif _system_answers() and paths.NAME in names(SYSTEM_URI, "pool-list", "--all"):
        delete_pool(SYSTEM_URI, paths.NAME)
    namespace.HOSTS.unlink(missing_ok=True)


def _place() -> tuple[str, Path, str | None]:
    """URI, directory of the pool, and namespace. A private hypervisor in use stays in use."""
    if not namespace.exists() and _system_answers():
        return SYSTEM_URI, SYSTEM_POOL, None
    if not namespace.exists() and _SYSTEMD.exists():
        raise StepError(f"{SYSTEM_URI} does not answer", "systemctl enable --now libvirtd")
    if os.geteuid() != 0:
        raise StepError(
            f"{SYSTEM_URI} does not answer, and only root can start a private hypervisor",
            "run as root, or start the machine's libvirtd and join the group libvirt",
        )
    return private.URI, private.POOL, paths.NAME


def _system_answers() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        try:
            client.connect(str(_SYSTEM_SOCKET))
        except PermissionError as error:
            raise StepError(
                f"this user may not use {SYSTEM_URI} ({_SYSTEM_SOCKET})", "run as root or join the group libvirt"
            ) from error
        except OSError:
            return False
    return True
