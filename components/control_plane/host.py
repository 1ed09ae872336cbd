"""What every machine gets before its services: names of the others, packages."""

import pulumi

from components import remote
from components.services.model import Site


class PreparedHost(pulumi.ComponentResource):
    """A machine that can be logged in to and has the packages of its services; `ready` is what services wait for."""

    host: remote.Host
    ready: pulumi.Resource

    def __init__(self, host: remote.Host, site: Site, opts: pulumi.ResourceOptions) -> None:
        """Wait for the machine, then install what its services need."""
        node = host.node
        super().__init__("lab:openstack:Host", f"{node.name}-host", None, opts)
        self.host = host
        login = remote.prepare(f"{node.name}-login", host, site, opts=pulumi.ResourceOptions(parent=self))
        self.ready = remote.run(
            f"{node.name}-packages",
            host,
            f"{site.release.install} {remote.words(*site.packages(node))}",
            seconds=3600,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[login]),
        )
        self.register_outputs({})
