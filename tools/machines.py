"""The stack's machines as libvirt has them; Pulumi knows what it made: switch on what is off, find what is gone."""

import tempfile
from collections.abc import Iterable

from components.topology import Role, Topology
from tools import made, stack, steps
from tools.hypervisor import Hypervisor
from tools.hypervisor.virsh import names, virsh
from tools.steps import StepError

_EMPTY = {
    made.DOMAIN: (
        "define",
        '<domain type="qemu"><name>{name}</name><uuid>{uuid}</uuid><memory unit="MiB">1</memory>'
        "<os><type>hvm</type></os></domain>",
    ),
    made.NETWORK: ("net-define", "<network><name>{name}</name><uuid>{uuid}</uuid></network>"),
}
"""By type: the virsh command that makes an empty object, and its description."""


def start(hypervisor: Hypervisor, stack_name: str) -> None:
    """Start the stack's machines that are off and let those go on that are paused.

    One that cannot start, such as for want of a network that the next update makes again, is only told.
    """
    with steps.step("machines", "switch on those that are off") as step:
        domains, said = made.present(hypervisor, stack_name, made.DOMAIN), []
        for state, verb in (("--state-shutoff", "start"), ("--state-paused", "resume")):
            for machine in sorted(domains.keys() & names(hypervisor.uri, "list", state)):
                try:
                    virsh(hypervisor.uri, verb, machine)
                    said.append(f"started {machine}")
                except StepError as error:
                    said.append(str(error))
        step.skip("; ".join(said) or "all on")


def lost(hypervisor: Hypervisor, stack_name: str) -> list[made.Resource]:
    """The stack's machines, networks and volumes that libvirt does not have any more."""
    virsh(hypervisor.uri, "pool-refresh", hypervisor.pool)
    types = (made.DOMAIN, made.NETWORK, *made.VOLUMES)
    present = made.present(hypervisor, stack_name, *types)
    gone = [resource for name, resource in made.by(stack_name, *types).items() if name not in present]
    return sorted(gone, key=lambda resource: types.index(resource["type"]))


def check_data(stack_name: str, topology: Topology, resources: Iterable[made.Resource]) -> None:
    """StepError if what libvirt has lost had the only copy of what a cloud holds: Pulumi would not make that again.

    The databases are on the first database node, the images' files on the first controller.
    """
    if not any(resource["type"].startswith("openstack:") for resource in stack.resources(stack_name)):
        return
    disks = {topology.having(role)[0].volume for role in (Role.DATABASE, Role.CONTROLLER)}
    gone = sorted(disks & {resource["outputs"]["name"] for resource in resources})
    if gone:
        raise StepError(
            f"libvirt has no {' and '.join(gone)} any more, and the cloud's data was there alone",
            "make restore NAME=… where there is a snapshot; else make destroy, then make up",
        )


def bare(topology: Topology, resources: Iterable[made.Resource]) -> list[str]:
    """The compute nodes whose disks are among these resources, and with them those of their instances."""
    disks = {resource["outputs"]["name"] for resource in resources}
    return [node.name for node in topology.having(Role.COMPUTE) if node.volume in disks]


def stand_in(hypervisor: Hypervisor, resources: Iterable[made.Resource]) -> None:
    """Put empty objects in their place: the provider can delete and replace nothing that is not there.

    It knows machines and networks by UUID, so that a name that somebody else has by now can stay theirs.
    """
    for resource in resources:
        name = resource["outputs"]["name"]
        if resource["type"] in made.VOLUMES:
            virsh(hypervisor.uri, "vol-create-as", hypervisor.pool, name, "1M")
            continue
        verb, text = _EMPTY[resource["type"]]
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(text.format(name=f"{name}-{resource['id']}", uuid=resource["id"]))
            file.flush()
            virsh(hypervisor.uri, verb, file.name)


def rebuilt(stack_name: str, resources: Iterable[made.Resource]) -> list[str]:
    """URNs of the machines to make anew when these are lost: they themselves, and those with such a disk."""
    domains = made.by(stack_name, made.DOMAIN)
    gone = {resource["outputs"]["name"].removesuffix(".qcow2") for resource in resources}
    return [domain["urn"] for name, domain in domains.items() if name in gone]
