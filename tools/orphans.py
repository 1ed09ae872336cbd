"""What an engine that died was making in the cloud: the object may be there, and its state does not know it.

Called by `make up`, where the lab's addresses are known. The object goes, so that the next `up` makes it as if for the
first time; Keystone would refuse a second one of its name, Nova and Neutron would keep both.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openstack.connection import Connection
from openstack.identity.v3._proxy import Proxy as Keystone

from components.cloud.clients import ADMIN, DEMO, Client
from tools import stack, stack_values
from tools.verify import cloud
from tools.verify.model import UnansweredError

Inputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How to find the objects that a creation with these inputs would have made, whose they are, how they go."""

    find: Callable[[Connection, Inputs], Iterator[Any]]
    owner: Client = ADMIN
    delete: Callable[[Connection, Any], None] | None = None


def _keystone(admin: Connection) -> Keystone:
    keystone = admin.identity
    assert isinstance(keystone, Keystone)
    return keystone


def _projects(admin: Connection, inputs: Inputs) -> Iterator[Any]:
    keystone = _keystone(admin)
    return keystone.domains(name=inputs["name"]) if inputs.get("isDomain") else keystone.projects(name=inputs["name"])


def _delete_project(admin: Connection, found: Any) -> None:
    # Keystone deletes no domain that is in use.
    if found.resource_key == "domain":
        _keystone(admin).update_domain(found, is_enabled=False)
        _keystone(admin).delete_domain(found)
    else:
        _keystone(admin).delete_project(found)


def _endpoints(admin: Connection, inputs: Inputs) -> Iterator[Any]:
    return _keystone(admin).endpoints(service_id=inputs["serviceId"], interface=inputs["interface"])


def _subnets(admin: Connection, inputs: Inputs) -> Iterator[Any]:
    subnets = admin.network.subnets(network_id=inputs["networkId"])
    return (subnet for subnet in subnets if subnet.cidr == inputs["cidr"])


def _rules(tenant: Connection, inputs: Inputs) -> Iterator[Any]:
    rules = tenant.network.security_group_rules(
        security_group_id=inputs["securityGroupId"], protocol=inputs["protocol"], direction=inputs["direction"]
    )
    return (rule for rule in rules if rule.port_range_min == inputs.get("portRangeMin"))


def _servers(tenant: Connection, inputs: Inputs) -> Iterator[Any]:
    """A server's name is not its own: somebody may have a `vm1` of another key."""
    servers = tenant.compute.servers(name=f"^{inputs['name']}$")
    return (server for server in servers if server.key_name == inputs["keyPair"])


def _keys(tenant: Connection, inputs: Inputs) -> Iterator[Any]:
    return (key for key in tenant.compute.keypairs() if key.name == inputs["name"])


def _flavors(admin: Connection, inputs: Inputs) -> Iterator[Any]:
    return (flavor for flavor in admin.compute.flavors(is_public=None) if flavor.name == inputs["name"])


def _delete_server(tenant: Connection, found: Any) -> None:
    tenant.compute.delete_server(found)
    tenant.compute.wait_for_delete(found, wait=300)


_APIS = {"identity": "identity", "images": "image", "compute": "compute", "networking": "network"}
"""First part of a type -> the SDK's name of its API."""

KINDS = {
    "identity/project:Project": Kind(_projects, delete=_delete_project),
    "identity/user:User": Kind(lambda admin, inputs: _keystone(admin).users(name=inputs["name"])),
    "identity/role:Role": Kind(lambda admin, inputs: _keystone(admin).roles(name=inputs["name"])),
    "identity/serviceV3:ServiceV3": Kind(lambda admin, inputs: _keystone(admin).services(type=inputs["type"])),
    "identity/endpointV3:EndpointV3": Kind(_endpoints),
    "images/image:Image": Kind(lambda admin, inputs: admin.image.images(name=inputs["name"])),
    "compute/flavor:Flavor": Kind(_flavors),
    "networking/network:Network": Kind(lambda admin, inputs: admin.network.networks(name=inputs["name"])),
    "networking/subnet:Subnet": Kind(_subnets),
    "compute/keypair:Keypair": Kind(_keys, DEMO),
    "networking/secGroup:SecGroup": Kind(
        lambda tenant, inputs: tenant.network.security_groups(name=inputs["name"]), DEMO
    ),
    "networking/secGroupRule:SecGroupRule": Kind(_rules, DEMO),
    "compute/instance:Instance": Kind(_servers, DEMO, _delete_server),
}
"""By type, without `openstack:`. A role assignment may be made twice."""


def pending(stack_name: str) -> list[dict[str, Any]]:
    """The creations in OpenStack whose end the state does not know: type without `openstack:`, urn, inputs."""
    found = []
    for operation in stack.pending(stack_name):
        kind = operation["resource"]["type"].removeprefix("openstack:")
        if operation["type"] == "creating" and kind in KINDS:
            found.append({**operation["resource"], "type": kind})
    return found


def remove(
    creations: Sequence[Mapping[str, Any]], known: set[str], connect: Callable[[Client], Connection]
) -> Iterator[str]:
    """Delete what these creations made and no state knows by its identifier, the latest first; yields their names."""
    for creation in reversed(creations):
        kind = KINDS[creation["type"]]
        connection = connect(kind.owner)
        for found in list(kind.find(connection, creation["inputs"])):
            if found.id in known:
                continue
            if kind.delete:
                kind.delete(connection, found)
            else:
                found.delete(getattr(connection, _APIS[creation["type"].partition("/")[0]]))
            yield creation["urn"].rpartition("::")[2]


def main(argv: Sequence[str]) -> int:
    """Remove the orphans of the stack named by `--stack`; exit status 1 if the cloud did not answer."""
    parser = argparse.ArgumentParser(prog="python -m tools orphans")
    parser.add_argument("--stack", required=True)
    name = parser.parse_args(argv).stack
    config = stack_values.complete(name)
    known = {resource["id"] for resource in stack.resources(name) if "id" in resource}
    try:
        with cloud.asking("the cloud"):
            for orphan in remove(pending(name), known, lambda client: cloud.connect_as(client, config)):
                print(f"    removed {orphan}", flush=True)
    except UnansweredError as error:
        print(f"    {error}", file=sys.stderr)
        return 1
    return 0
