"""The first tenant's instance, and what it takes to log in to it (guide 4.8)."""

import pulumi
import pulumi_openstack as openstack

from components.cloud.network import ProviderNetwork
from components.secrets import KeyPair

NAME = "vm1"
KEY, GROUP = "lab", "ping-ssh"
OPEN = {"ping": ("icmp", 0), "ssh": ("tcp", 22)}
"""Rule -> protocol and port that anyone may use."""


class Access(pulumi.ComponentResource):
    """The tenant's key pair, and a security group that lets ping and SSH in."""

    def __init__(self, key: KeyPair, opts: pulumi.ResourceOptions) -> None:
        """Make them as the tenant's user."""
        super().__init__("lab:cloud:Access", "access", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.key = openstack.compute.Keypair("key", name=KEY, public_key=key.public, opts=child)
        self.group = openstack.networking.SecGroup(
            "ping-ssh", name=GROUP, description="ping and SSH from anywhere", opts=child
        )
        self.rules = [
            openstack.networking.SecGroupRule(
                f"allow-{name}",
                security_group_id=self.group.id,
                direction="ingress",
                ethertype="IPv4",
                protocol=protocol,
                port_range_min=port or None,
                port_range_max=port or None,
                opts=child,
            )
            for name, (protocol, port) in OPEN.items()
        ]
        self.register_outputs({})


class Instance(pulumi.ComponentResource):
    """`vm1` from the public image on the provider network."""

    address: pulumi.Output[str]

    def __init__(
        self,
        image: openstack.images.Image,
        flavor: openstack.compute.Flavor,
        network: ProviderNetwork,
        access: Access,
        opts: pulumi.ResourceOptions,
    ) -> None:
        """Launch it once its network has a subnet and its group its rules."""
        super().__init__("lab:cloud:Instance", "instance", None, opts)
        server = openstack.compute.Instance(
            "vm1",
            name=NAME,
            image_id=image.id,
            flavor_id=flavor.id,
            key_pair=access.key.name,
            security_groups=[access.group.name],
            networks=[openstack.compute.InstanceNetworkArgs(uuid=network.network.id)],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[network.subnet, *access.rules]),
        )
        self.address = server.access_ip_v4
        self.register_outputs({})
