"""Run inside a lab's shell: `on_cloud STACK boot NAME HOST`, `on_cloud STACK delete NAME`, `on_cloud STACK hosts`."""

import json
import sys

from openstack.connection import Connection

from components.cloud.clients import ADMIN
from components.cloud.network import NAME as NETWORK
from tools import paths, stack_values
from tools.verify import cloud

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
    config = stack_values.complete(stack)
    login = cloud.login(paths.CLIENTS / stack / ADMIN.file)
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
