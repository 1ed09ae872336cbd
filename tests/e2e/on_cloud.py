"""Run inside a lab's shell: what the cloud's users would do; prints JSON.

`on_cloud STACK boot NAME HOST`, `delete NAME` and `hosts` tell what runs where, `examine NAME` what is found of a
tenant's instance, `traces ID` what is left of it.
"""

import json
import sys
from dataclasses import asdict

from openstack.connection import Connection

from components.cloud.clients import ADMIN
from components.cloud.network import NAME as NETWORK
from tools import paths, stack_values
from tools.verify import cloud, instance

ACTIVE_SECONDS = 900
DELETED_SECONDS = 300


def boot(admin: Connection, image: str, flavor: str, name: str, host: str) -> None:
    """Boot a server on a host and wait until it is ACTIVE."""
    server = admin.compute.create_server(
        name=name,
        image_id=admin.image.find_image(image, ignore_missing=False).id,
        flavor_id=admin.compute.find_flavor(flavor, ignore_missing=False).id,
        networks=[{"uuid": admin.network.find_network(NETWORK, ignore_missing=False).id}],
        availability_zone=f"nova:{host}",
    )
    admin.compute.wait_for_server(server, wait=ACTIVE_SECONDS)


def hosts(admin: Connection) -> dict[str, list[str]]:
    """What runs where, by what Nova, Neutron and Placement know."""
    return {
        "services": sorted(f"{each.binary} {each.host}" for each in admin.compute.services()),
        "agents": sorted(f"{each.binary} {each.host}" for each in admin.network.agents()),
        "providers": sorted(each.name for each in admin.placement.resource_providers()),
    }


def main() -> None:
    """Do what the arguments say, as the cloud's administrator."""
    stack, verb, *words = sys.argv[1:]
    config, clients = stack_values.complete(stack), paths.CLIENTS / stack
    if verb == "examine":
        print(json.dumps([asdict(finding) for finding in instance.examine(config, clients, *words)]))
        return
    if verb == "traces":
        print(json.dumps(sorted(instance.traces(config, clients, *words))))
        return
    login = cloud.login(clients / ADMIN.file)
    admin = cloud.connect(login, config.site.region)
    if verb == "boot":
        boot(admin, config.tenant.image_name, config.tenant.flavor.name, *words)
    elif verb == "delete":
        for server in admin.compute.servers(all_projects=True, name=words[0]):
            admin.compute.delete_server(server)
            admin.compute.wait_for_delete(server, wait=DELETED_SECONDS)
    print(json.dumps(hosts(admin)))


if __name__ == "__main__":
    main()
