"""The two bridges (guide 4.1.1): the provider network with address translation, the internal one isolated."""

import pulumi
import pulumi_libvirt as libvirt

from components.topology import Topology


class Networks(pulumi.ComponentResource):
    """`vmbr0` and `vmbr1`, without DHCP or DNS: all addresses are fixed."""

    provider: libvirt.Network
    internal: libvirt.Network

    def __init__(self, topology: Topology, opts: pulumi.ResourceOptions) -> None:
        """Make both networks of the topology."""
        super().__init__("lab:kvm:Networks", "networks", None, opts)
        self.provider = self._network(topology.provider.bridge, str(topology.provider.cidr), mode="nat")
        self.internal = self._network(topology.internal.bridge, str(topology.internal.cidr), mode="none")
        self.register_outputs({})

    def _network(self, bridge: str, cidr: str, mode: str) -> libvirt.Network:
        return libvirt.Network(
            bridge,
            name=bridge,
            bridge=bridge,
            mode=mode,
            addresses=[cidr],
            autostart=True,
            dhcp=libvirt.NetworkDhcpArgs(enabled=False),
            dns=libvirt.NetworkDnsArgs(enabled=False),
            opts=pulumi.ResourceOptions(parent=self),
        )
