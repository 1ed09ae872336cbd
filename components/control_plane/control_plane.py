"""The catalogue's services on the topology's machines."""

from collections.abc import Mapping

import pulumi

from components import remote
from components.control_plane.catalog import Catalog
from components.control_plane.host import PreparedHost
from components.control_plane.membership import leave_on_delete
from components.control_plane.service import Awaited, ServiceOnNodes
from components.secrets import Secrets
from components.services.keystone import KEYSTONE
from components.services.model import CATALOG, Site


class ControlPlane(pulumi.ComponentResource):
    """Every service that has nodes to run on, by name, and what Keystone knows of them."""

    services: dict[str, ServiceOnNodes]
    catalog: Catalog

    def __init__(
        self, site: Site, secrets: Secrets, hosts: Mapping[str, remote.Host], in_database: pulumi.ResourceOptions
    ) -> None:
        """Prepare the machines (`hosts`, by node name), then set up the services in catalogue order.

        What the services' databases hold goes with the database's machine: `in_database` says so.
        """
        super().__init__("lab:openstack:ControlPlane", "control-plane")
        child = pulumi.ResourceOptions(parent=self)
        prepared = {name: PreparedHost(host, site, child) for name, host in hosts.items()}
        with_database = pulumi.ResourceOptions.merge(child, in_database)
        self.services = {}
        earlier: dict[str, Awaited] = {}
        for service in site.catalogue:
            if not service.nodes(site.topology):
                continue
            earlier[service.name] = self.services[service.name] = ServiceOnNodes(
                service, site, prepared, earlier, child
            )
            if service is KEYSTONE:
                earlier[CATALOG] = self.catalog = Catalog(site, secrets, self.services[service.name], with_database)
        self._memberships(site, hosts, with_database)
        self.register_outputs({})

    def _memberships(self, site: Site, hosts: Mapping[str, remote.Host], opts: pulumi.ResourceOptions) -> None:
        """What goes first when a service leaves a node: compute services before the agents that they need."""
        for node in site.topology.nodes:
            later = [step for service in self.services.values() for step in service.ready.get(node.name, ())]
            for service in site.services(node):
                if service.reports_as:
                    behind = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(later)))
                    later.append(leave_on_delete(service, hosts[node.name], site, behind))
