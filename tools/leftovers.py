"""What an interrupted run left in the hypervisor without Pulumi knowing of it, and what would be in the next one's way.

All that a private hypervisor holds is the checkout's; on the machine's own, what lies in the checkout's pool and the
machines with a disk there.
"""

from collections.abc import Iterable, Iterator

from tools import made, stack, steps
from tools.hypervisor import Hypervisor
from tools.hypervisor.virsh import delete_domain, delete_network, names, virsh, volumes


def remove(hypervisor: Hypervisor) -> None:
    """Remove from the hypervisor what is this checkout's and in no stack's state."""
    with steps.step("leftovers", "what an interrupted run left behind") as step:
        if not stack.own_backend():
            step.skip("not looked for, since the state is kept elsewhere")
            return
        # What an engine at work has just made is in no state yet.
        for name in stack.names():
            stack.unlock(name)
        removed = list(_remove(hypervisor))
        step.skip(f"removed {', '.join(removed)}" if removed else "none")


def has_disk_among(uri: str, domain: str, files: Iterable[str]) -> bool:
    """Whether one of a machine's disks is one of these files."""
    return not set(files).isdisjoint(virsh(uri, "domblklist", domain).split())


def _remove(hypervisor: Hypervisor) -> Iterator[str]:
    uri, pool = hypervisor.uri, hypervisor.pool
    private = hypervisor.namespace is not None
    files = volumes(uri, pool)
    for domain in sorted(names(uri, "list", "--all") - made.owners(hypervisor, made.DOMAIN).keys()):
        if private or has_disk_among(uri, domain, files.values()):
            delete_domain(uri, domain)
            yield f"machine {domain}"
    for network in (
        sorted(names(uri, "net-list", "--all") - made.owners(hypervisor, made.NETWORK).keys()) if private else ()
    ):
        delete_network(uri, network)
        yield f"network {network}"
    for volume in sorted(files.keys() - made.owners(hypervisor, *made.VOLUMES).keys()):
        virsh(uri, "vol-delete", volume, "--pool", pool)
        yield f"volume {volume}"
