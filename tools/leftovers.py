"""What an interrupted run left in the hypervisor without Pulumi knowing of it, and what would be in the next one's way.

All that a private hypervisor holds is the checkout's; on the machine's own, what lies in the checkout's pool and the
machines with a disk there.
"""

from collections.abc import Iterator

from tools import stack, steps
from tools.hypervisor import Hypervisor
from tools.hypervisor.virsh import delete_domain, delete_network, names, virsh, volumes

NETWORK = "libvirt:index/network:Network"
DOMAIN = "libvirt:index/domain:Domain"
VOLUMES = ("libvirt:index/volume:Volume", "libvirt:index/cloudInitDisk:CloudInitDisk")


def remove(hypervisor: Hypervisor) -> None:
    """Remove from the hypervisor what is this checkout's and in no stack's state."""
    with steps.step("leftovers", "what an interrupted run left behind") as step:
        if not stack.own_backend():
            step.skip("not looked for, since the state is kept elsewhere")
            return
        # What an engine at work has just made is in no state yet.
        for name in stack.names():
            stack.unlock(name)
        removed = list(_remove(hypervisor, _known()))
        step.skip(f"removed {', '.join(removed)}" if removed else "none")


def _known() -> dict[str, set[str]]:
    """Names in the states of all stacks, by resource type."""
    known: dict[str, set[str]] = {kind: set() for kind in (NETWORK, DOMAIN, *VOLUMES)}
    for name in filter(stack.exists, stack.names()):
        for resource in stack.resources(name):
            if resource["type"] in known:
                known[resource["type"]].add(resource.get("outputs", {}).get("name"))
    return known


def _remove(hypervisor: Hypervisor, known: dict[str, set[str]]) -> Iterator[str]:
    uri, pool = hypervisor.uri, hypervisor.pool
    private = hypervisor.namespace is not None
    files = volumes(uri, pool)
    for domain in sorted(names(uri, "list", "--all") - known[DOMAIN]):
        disks = virsh(uri, "domblklist", domain).split()
        if private or set(files.values()) & set(disks):
            delete_domain(uri, domain)
            yield f"machine {domain}"
    for network in sorted(names(uri, "net-list", "--all") - known[NETWORK]) if private else ():
        delete_network(uri, network)
        yield f"network {network}"
    for volume in files:
        if not any(volume in known[kind] for kind in VOLUMES):
            virsh(uri, "vol-delete", volume, "--pool", pool)
            yield f"volume {volume}"
