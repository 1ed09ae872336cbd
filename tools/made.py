"""What stacks have made in libvirt, and the instances that depend on it, by the engine's state."""

from collections.abc import Mapping
from ipaddress import ip_interface, ip_network
from typing import Any
from xml.etree import ElementTree

from tools import stack
from tools.hypervisor import Hypervisor
from tools.hypervisor.virsh import machines, names, networks, virsh, volumes
from tools.steps import StepError

NETWORK = "libvirt:index/network:Network"
DOMAIN = "libvirt:index/domain:Domain"
INSTANCE = "openstack:compute/instance:Instance"
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
    resources, uri = by(stack_name, *types), hypervisor.uri
    kinds = {resource["type"] for resource in resources.values()}
    files = volumes(uri, hypervisor.pool) if kinds & set(VOLUMES) else {}
    identifiers = {
        DOMAIN: machines(uri) if DOMAIN in kinds else {},
        NETWORK: networks(uri) if NETWORK in kinds else {},
    }
    return {
        name: resource
        for name, resource in resources.items()
        if (name in files if resource["type"] in VOLUMES else identifiers[resource["type"]].get(name) == resource["id"])
    }


def instances(stack_name: str) -> list[Resource]:
    """The instances that the stack has made in its cloud."""
    return [resource for resource in stack.resources(stack_name) if resource["type"] == INSTANCE and "id" in resource]


def owners(hypervisor: Hypervisor, *types: str, but: str = "") -> dict[str, str]:
    """Names in libvirt of what the stacks of this checkout, `but` one, have made of these types -> stack."""
    return {made: name for name in stack.kept() if name != but for made in present(hypervisor, name, *types)}


def check_disks(hypervisor: Hypervisor, stack_name: str) -> None:
    """StepError if the stack's disks are those of another one that is up: a state may know them by name alone."""
    own = present(hypervisor, stack_name, *VOLUMES)
    if not own or present(hypervisor, stack_name, DOMAIN):
        return
    for other in stack.kept():
        shared = sorted(own.keys() & present(hypervisor, other, *VOLUMES).keys())
        if other != stack_name and shared and present(hypervisor, other, DOMAIN):
            raise StepError(
                f"{', '.join(shared)}: of stack {other}, which is up, though stack {stack_name} knows them, too",
                f"make destroy STACK={other} first",
            )


def removal(owner: str | None, by_hand: str) -> str:
    """How to get rid of what stands in a stack's way: by the stack that made it, or by hand if there is none."""
    return f"make destroy STACK={owner}" if owner else f"if nobody needs it, in `make shell`: {by_hand}"


def begun(hypervisor: Hypervisor) -> set[str]:
    """Networks in libvirt that killed engines were making: of that name, with that bridge and these addresses."""
    operations = [operation for name in stack.kept() for operation in stack.pending(name)]
    wanted = [
        operation["resource"]["inputs"]
        for operation in operations
        if operation["type"] == "creating" and operation["resource"]["type"] == NETWORK
    ]
    there = names(hypervisor.uri, "net-list", "--all") if wanted else set()
    return {
        inputs["name"]
        for inputs in wanted
        if inputs["name"] in there and is_as_wanted(virsh(hypervisor.uri, "net-dumpxml", inputs["name"]), inputs)
    }


def is_as_wanted(description: str, inputs: Mapping[str, Any]) -> bool:
    """Whether libvirt's description of a network has the bridge and the addresses of a resource's inputs."""
    network = ElementTree.fromstring(description)
    bridge = network.find("bridge")
    addresses = {
        ip_interface(f"{ip.get('address')}/{ip.get('prefix') or ip.get('netmask')}").network
        for ip in network.findall("ip")
    }
    wanted = {ip_network(cidr) for cidr in inputs.get("addresses", [])}
    return bridge is not None and bridge.get("name") == inputs.get("bridge") and addresses == wanted
