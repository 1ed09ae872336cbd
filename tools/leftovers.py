"""What an interrupted run left in the hypervisor without Pulumi knowing of it, and what would be in the next one's way.

Machines with a disk in the checkout's pool, networks that a killed engine was making, what stood in for lost ones, and
all volumes in the pool. Whatever else is there was made by somebody else.
"""

from collections.abc import Iterable, Iterator

from tools import made, stack, steps
from tools.hypervisor import Hypervisor
from tools.hypervisor.virsh import delete_domain, delete_network, machines, networks, virsh, volumes


def remove(hypervisor: Hypervisor) -> None:
    """Remove from the hypervisor what is this checkout's and in no stack's state."""
    with steps.step("leftovers", "what an interrupted run left behind") as step:
        if not stack.own_backend():
            step.skip("not looked for, since the state is kept elsewhere")
            return
        # What an engine at work has just made is in no state yet.
        for name in stack.kept():
            stack.unlock(name)
        removed = list(_remove(hypervisor))
        step.skip(f"removed {', '.join(removed)}" if removed else "none")


def has_disk_among(uri: str, domain: str, files: Iterable[str]) -> bool:
    """Whether one of a machine's disks is one of these files."""
    return not set(files).isdisjoint(virsh(uri, "domblklist", domain).split())


def _remove(hypervisor: Hypervisor) -> Iterator[str]:
    uri, pool = hypervisor.uri, hypervisor.pool
    files = volumes(uri, pool)
    owned = made.owners(hypervisor, made.DOMAIN, made.NETWORK, *made.VOLUMES)
    for domain, uuid in machines(uri).items():
        if domain not in owned and (_stands_in(domain, uuid) or has_disk_among(uri, domain, files.values())):
            delete_domain(uri, domain)
            yield f"machine {domain}"
    begun = made.begun(hypervisor)
    for network, uuid in networks(uri).items():
        if network not in owned and (_stands_in(network, uuid) or network in begun):
            delete_network(uri, network)
            yield f"network {network}"
    for volume in sorted(files.keys() - owned.keys()):
        virsh(uri, "vol-delete", volume, "--pool", pool)
        yield f"volume {volume}"


def _stands_in(name: str, uuid: str) -> bool:
    """Whether this was put in the place of what somebody had deleted; see tools/machines.py."""
    return name.endswith(f"-{uuid}")
