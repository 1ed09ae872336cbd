"""The catalogue's services on the topology's machines."""

from collections.abc import Mapping

import pulumi

from components import remote
from components.control_plane.host import PreparedHost
from components.control_plane.service import ServiceOnNodes
from components.services.model import Site
from components.topology import Node, Role


class ControlPlane(pulumi.ComponentResource):
    """Every service that has nodes to run on, by name."""

    services: dict[str, ServiceOnNodes]

    def __init__(self, site: Site, hosts: Mapping[str, remote.Host], opts: pulumi.ResourceOptions) -> None:
        """Prepare the machines (`hosts`, by node name), then set up the services in catalogue order."""
        super().__init__("lab:openstack:ControlPlane", "control-plane", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        prepared = {name: PreparedHost(host, site, child) for name, host in hosts.items()}

        def on(nodes: tuple[Node, ...]) -> dict[str, PreparedHost]:
            return {node.name: prepared[node.name] for node in nodes}

        database = on(site.topology.having(Role.DATABASE))
        self.services = {}
        for service in site.catalogue:
            if nodes := service.nodes(site.topology):
                self.services[service.name] = ServiceOnNodes(
                    service, site, on(nodes), database, self.services, pulumi.ResourceOptions(parent=self)
                )
        self.register_outputs({})
