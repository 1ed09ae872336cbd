"""`python -m tools.drain`: take a compute node out of the cloud before its machine goes.

Called by the program when a node is switched off. Standard input is JSON, see `Leaving`. It refuses, and changes
nothing, while the node holds instances.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openstack.config import get_cloud_region
from openstack.connection import Connection
from openstack.exceptions import SDKException

from components.secrets import KeyPair
from tools.verify import ssh
from tools.verify.model import UnansweredError

SSH_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A node that is to leave: `host` as Nova and Neutron call it, how to ask the cloud, how to stop its `units`."""

    host: str
    address: str
    units: list[str]
    auth_url: str
    region: str
    username: str
    project: str
    password: str
    login: KeyPair
    host_key: KeyPair


class OccupiedError(Exception):
    """The node still holds instances."""


def read(text: str) -> Leaving:
    """What the program hands over."""
    given = json.loads(text)
    return Leaving(**given | {key: KeyPair(**given[key]) for key in ("login", "host_key")})


def drain(leaving: Leaving, cloud: Connection, stop: Callable[[Leaving], None]) -> None:
    """Stop the node's agents and remove what the cloud knows of it; OccupiedError if it holds instances."""
    _refuse_if_occupied(leaving, cloud)
    services = list(cloud.compute.services(host=leaving.host, binary="nova-compute"))
    for service in services:
        cloud.compute.disable_service(service)
    try:
        # Nothing new can come now; something may have come before.
        _refuse_if_occupied(leaving, cloud)
    except OccupiedError:
        for service in services:
            cloud.compute.enable_service(service)
        raise
    stop(leaving)
    for service in services:
        cloud.compute.delete_service(service)
        print(f"removed nova-compute on {leaving.host}")
    for agent in cloud.network.agents(host=leaving.host):
        cloud.network.delete_agent(agent)
        print(f"removed {agent.binary} on {leaving.host}")
    for provider in cloud.placement.resource_providers(name=leaving.host):
        cloud.placement.delete_resource_provider(provider)
        print(f"removed the resource provider of {leaving.host}")


def _refuse_if_occupied(leaving: Leaving, cloud: Connection) -> None:
    instances = list(cloud.compute.servers(all_projects=True, compute_host=leaving.host))
    if instances:
        listed = ", ".join(f"{each.name} ({each.id}, project {each.project_id})" for each in instances)
        raise OccupiedError(f"{leaving.host} still holds instances: {listed}; delete or move them, then run it again")


def stop_units(leaving: Leaving) -> None:
    """Stop what would register the node again; a machine that does not answer has nothing to stop."""
    script = f"systemctl disable --now {' '.join(leaving.units)}"
    try:
        ssh.run(leaving.address, script, login=leaving.login, host=leaving.host_key, seconds=SSH_SECONDS)
    except UnansweredError as error:
        print(f"not stopped: {error}")


def connect(leaving: Leaving) -> Connection:
    """The cloud as its administrator."""
    auth: dict[str, Any] = {
        "auth_url": leaving.auth_url,
        "username": leaving.username,
        "password": leaving.password,
        "project_name": leaving.project,
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    config = get_cloud_region(load_yaml_config=False, load_envvars=False, auth=auth, region_name=leaving.region)
    return Connection(config=config)


def main() -> int:
    """Drain the node that standard input tells of."""
    leaving = read(sys.stdin.read())
    try:
        drain(leaving, connect(leaving), stop_units)
    except (OccupiedError, SDKException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
