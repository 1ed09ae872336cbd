"""The flat network that instances share with the machines: vmbr0 under Neutron's eyes."""

import pulumi
import pulumi_openstack as openstack

from components.config import TenantConfig
from components.services.model import Site

NAME = "provider"


class ProviderNetwork(pulumi.ComponentResource):
    """Network and subnet `provider`, shared by all tenants; `subnet` is what an instance waits for."""

    network: openstack.networking.Network
    subnet: openstack.networking.Subnet

    def __init__(self, site: Site, tenant: TenantConfig, opts: pulumi.ResourceOptions) -> None:
        """Make the network once the agents have reported; a subnet made earlier gets no DHCP."""
        super().__init__("lab:cloud:ProviderNetwork", "provider-network", None, opts)
        provider = site.topology.provider
        first, last = tenant.pool
        self.network = openstack.networking.Network(
            "provider",
            name=NAME,
            shared=True,
            external=True,
            segments=[
                openstack.networking.NetworkSegmentArgs(network_type="flat", physical_network=tenant.physical_network)
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.subnet = openstack.networking.Subnet(
            "provider-subnet",
            name=NAME,
            network_id=self.network.id,
            ip_version=4,
            cidr=str(provider.cidr),
            gateway_ip=str(provider.gateway),
            dns_nameservers=list(site.dns),
            allocation_pools=[openstack.networking.SubnetAllocationPoolArgs(start=str(first), end=str(last))],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
