"""A compute node's place in the cloud, which it gives up in good order when it is switched off."""

import dataclasses
import json
from collections.abc import Sequence

import pulumi

from components import remote
from components.cloud.clients import ADMIN, variables
from components.services.model import Site


def leave_on_delete(
    host: remote.Host, site: Site, units: Sequence[str], opts: pulumi.ResourceOptions
) -> pulumi.Resource:
    """A resource whose deletion takes the node out of Nova, Neutron and Placement, or refuses while it holds instances.

    It has to be deleted before anything else of the node, and not at all when the cloud itself goes.
    """
    node, secrets = host.node, host.secrets
    told = {
        "host": node.fqdn,
        "address": str(node.address),
        "units": list(units),
        "client": variables(ADMIN, site, secrets),
        "login": dataclasses.asdict(remote.login_key_pair(secrets)),
        "host_key": dataclasses.asdict(remote.host_key_pair(node, secrets)),
    }
    return remote.local_on_delete(
        f"{node.name}-membership", ".venv/bin/python -m tools.drain", json.dumps(told), opts=opts
    )
