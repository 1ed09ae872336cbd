"""What stacks have made in libvirt, by the engine's state."""

from typing import Any

from tools import stack
from tools.hypervisor import Hypervisor
from tools.hypervisor.virsh import machines, networks, volumes

NETWORK = "libvirt:index/network:Network"
DOMAIN = "libvirt:index/domain:Domain"
VOLUMES = ("libvirt:index/volume:Volume", "libvirt:index/cloudInitDisk:CloudInitDisk")

Resource = dict[str, Any]
"""A resource of the engine's state: type, urn, id, outputs."""


def by(stack_name: str, *types: str) -> dict[str, Resource]:
    """The resources of these types in the stack's state, by the name that libvirt has for them, in its order."""
    found = {
        resource["outputs"]["name"]: resource
        for resource in stack.resources(stack_name)
        if resource["type"] in types and "name" in resource.get("outputs", {})
    }
    return dict(sorted(found.items()))


def present(hypervisor: Hypervisor, stack_name: str, *types: str) -> dict[str, Resource]:
    """Those of `by` that libvirt still has. Machines and networks go by UUID: their names may be others' by now."""
    found: dict[str, Resource] = {}
    for kind in types:
        resources = by(stack_name, kind)
        there = _there(hypervisor, kind) if resources else {}
        found |= {
            name: resource
            for name, resource in resources.items()
            if name in there and (kind in VOLUMES or there[name] == resource["id"])
        }
    return found


def owners(hypervisor: Hypervisor, *types: str) -> dict[str, str]:
    """Names in libvirt of what the stacks of this checkout have made of these types -> stack."""
    stacks = [name for name in stack.names() if stack.exists(name)]
    return {made: name for name in stacks for made in present(hypervisor, name, *types)}


def _there(hypervisor: Hypervisor, kind: str) -> dict[str, str]:
    """What libvirt has of a type: name -> UUID, or file of a volume."""
    if kind in VOLUMES:
        return volumes(hypervisor.uri, hypervisor.pool)
    return machines(hypervisor.uri) if kind == DOMAIN else networks(hypervisor.uri)
