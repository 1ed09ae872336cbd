"""What stacks have made in libvirt, by the engine's state."""

from typing import Any

from tools import stack

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


def owners(*types: str) -> dict[str, str]:
    """Names in libvirt of what the stacks of this checkout have made of these types -> stack."""
    return {made: name for name in stack.names() if stack.exists(name) for made in by(name, *types)}
