"""The stack's instances whose disks went with those of compute nodes: Nova goes on having them, and no update minds.

They are deleted in Nova, before the nodes come back without them: one that Nova finds to be in error by itself the
provider cannot delete.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence

from openstack.connection import Connection

from components.cloud.clients import ADMIN
from tools import made, stack_values
from tools.verify import cloud
from tools.verify.model import UnansweredError


def main(argv: Sequence[str]) -> int:
    """Delete the stack's instances on these nodes and print their URNs as JSON; 1 if Nova does not answer."""
    parser = argparse.ArgumentParser(prog="python -m tools stranded")
    parser.add_argument("--stack", required=True)
    parser.add_argument("nodes", nargs="+", metavar="NODE")
    arguments = parser.parse_args(argv)
    config = stack_values.complete(arguments.stack)
    hosts = {node.fqdn for node in config.site.topology.nodes if node.name in arguments.nodes}
    try:
        with cloud.asking("Nova"):
            urns = delete(hosts, made.instances(arguments.stack), cloud.connect_as(ADMIN, config))
    except UnansweredError as error:
        print(f"    {error}", file=sys.stderr)
        return 1
    print(json.dumps(urns))
    return 0


def delete(hosts: Iterable[str], instances: Iterable[made.Resource], admin: Connection) -> list[str]:
    """Delete those of the instances that Nova has on one of the hosts, given by full names; their URNs.

    Nova ends it when the host's compute service is back, or is known to be down.
    """
    there = {server.id for host in hosts for server in admin.compute.servers(all_projects=True, compute_host=host)}
    lost = [instance for instance in instances if instance["id"] in there]
    for instance in lost:
        admin.compute.delete_server(instance["id"])
    return [instance["urn"] for instance in lost]
