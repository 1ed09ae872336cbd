"""A service's place in the cloud on a node, which it gives up in good order when it is there no more."""

import dataclasses
import json

import pulumi

from components import remote
from components.cloud.clients import ADMIN, variables
from components.services.model import Service, Site
from components.services.nova import COMPUTE


def leave_on_delete(service: Service, host: remote.Host, site: Site, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """A resource whose deletion stops the service on the node and has Nova, Neutron and Placement forget it there.

    The compute service's refuses while the node holds instances. It has to be deleted before what the service needs,
    and not at all when the cloud itself goes.
    """
    node, secrets = host.node, host.secrets
    told = {
        "host": node.fqdn,
        "address": str(node.address),
        "binaries": list(service.reports_as),
        "units": list(site.packaging(service).units),
        "client": variables(ADMIN, site, secrets),
        "login": dataclasses.asdict(remote.login_key_pair(secrets)),
        "host_key": dataclasses.asdict(remote.host_key_pair(node, secrets)),
    }
    name = f"{node.name}-membership" if service is COMPUTE else service.step("membership", node)
    return remote.local_on_delete(name, ".venv/bin/python -m tools.drain", json.dumps(told), opts=opts)
