"""`python -m tools.drain`: take a service of a node out of the cloud, before its machine goes or without it.

Called by the program when a node is switched off or loses a role. Standard input is JSON, see `Leaving`. For the
compute service it refuses, and changes nothing, while the node holds instances.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openstack.compute.v2.service import Service
from openstack.connection import Connection

from components.secrets import KeyPair
from tools.verify import cloud, ssh
from tools.verify.model import UnansweredError

SSH_SECONDS = 120

_COMPUTE = "nova-compute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A service that is to leave: where, by its `host`, and as which `binaries` Nova and Neutron list it; its `units`.

    `client`: the environment of the cloud's administrator.
    """

    host: str
    address: str
    binaries: list[str]
    units: list[str]
    client: dict[str, str]
    login: KeyPair
    host_key: KeyPair


class OccupiedError(Exception):
    """The node still holds instances."""


def read(text: str) -> Leaving:
    """What the program hands over."""
    given = json.loads(text)
    return Leaving(**given | {key: KeyPair(**given[key]) for key in ("login", "host_key")})


def drain(leaving: Leaving, admin: Connection, stop: Callable[[Leaving], None]) -> None:
    """Stop the service and remove what the cloud knows of it; OccupiedError if instances depend on it."""
    services = [service for service in admin.compute.services(host=leaving.host) if service.binary in leaving.binaries]
    if _COMPUTE in leaving.binaries:
        _take_no_more(leaving, admin, services)
    stop(leaving)
    for service in services:
        admin.compute.delete_service(service)
        print(f"removed {service.binary} on {leaving.host}")
    for agent in admin.network.agents(host=leaving.host):
        if agent.binary in leaving.binaries:
            admin.network.delete_agent(agent)
            print(f"removed {agent.binary} on {leaving.host}")
    if _COMPUTE in leaving.binaries:
        for provider in admin.placement.resource_providers(name=leaving.host):
            admin.placement.delete_resource_provider(provider)
            print(f"removed the resource provider of {leaving.host}")


def _take_no_more(leaving: Leaving, admin: Connection, services: Sequence[Service]) -> None:
    """Let no instance come to the node any more; OccupiedError, and all as before, if it holds one."""
    _refuse_if_occupied(leaving, admin)
    for service in services:
        admin.compute.disable_service(service)
    try:
        # Nothing new can come now; something may have come before.
        _refuse_if_occupied(leaving, admin)
    except OccupiedError:
        for service in services:
            admin.compute.enable_service(service)
        raise


def _refuse_if_occupied(leaving: Leaving, admin: Connection) -> None:
    instances = list(admin.compute.servers(all_projects=True, compute_host=leaving.host))
    if instances:
        listed = ", ".join(f"{each.name} ({each.id}, project {each.project_id})" for each in instances)
        raise OccupiedError(f"{leaving.host} still holds instances: {listed}; delete or move them, then run it again")


def stop_units(leaving: Leaving) -> None:
    """Stop what would register again; a machine that does not answer has nothing to stop."""
    script = f"systemctl disable --now {' '.join(leaving.units)}"
    try:
        ssh.run(leaving.address, script, login=leaving.login, host=leaving.host_key, seconds=SSH_SECONDS)
    except UnansweredError as error:
        print(f"not stopped: {error}")


def connect(leaving: Leaving) -> Connection:
    """The cloud as its administrator."""
    return cloud.connect(cloud.authenticate(leaving.client), leaving.client["OS_REGION_NAME"])


def main() -> int:
    """Drain what standard input tells of."""
    leaving = read(sys.stdin.read())
    try:
        with cloud.asking("the cloud"):
            drain(leaving, connect(leaving), stop_units)
    except (OccupiedError, UnansweredError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
