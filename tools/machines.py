"""The stack's machines as libvirt has them; Pulumi knows what it made: switch on what is off, find what is gone."""

from tools import leftovers, stack, steps
from tools.hypervisor import Hypervisor
from tools.hypervisor.virsh import names, virsh, volumes
from tools.steps import StepError


def start(hypervisor: Hypervisor, stack_name: str) -> None:
    """Start the stack's machines that are off and let those go on that are paused.

    One that cannot start, such as for want of a network that the next update makes again, is only told.
    """
    with steps.step("machines", "switch on those that are off") as step:
        made, said = set(_made(stack_name, leftovers.DOMAIN)), []
        for state, verb in (("--state-shutoff", "start"), ("--state-paused", "resume")):
            for machine in sorted(made & names(hypervisor.uri, "list", state)):
                try:
                    virsh(hypervisor.uri, verb, machine)
                    said.append(f"started {machine}")
                except StepError as error:
                    said.append(str(error))
        step.skip("; ".join(said) or "all on")


def missing(hypervisor: Hypervisor, stack_name: str) -> list[str]:
    """URNs of the stack's machines, networks and volumes that libvirt does not have, whoever took them away."""
    virsh(hypervisor.uri, "pool-refresh", hypervisor.pool)
    files = set(volumes(hypervisor.uri, hypervisor.pool))
    there = {
        leftovers.DOMAIN: names(hypervisor.uri, "list", "--all"),
        leftovers.NETWORK: names(hypervisor.uri, "net-list", "--all"),
        **dict.fromkeys(leftovers.VOLUMES, files),
    }
    return [urn for kind, known in there.items() for name, urn in _made(stack_name, kind).items() if name not in known]


def _made(stack_name: str, kind: str) -> dict[str, str]:
    """Name -> URN of the resources of a type in the stack's state."""
    return {
        resource["outputs"]["name"]: resource["urn"]
        for resource in stack.resources(stack_name)
        if resource["type"] == kind and "name" in resource.get("outputs", {})
    }
