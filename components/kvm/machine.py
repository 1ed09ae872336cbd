"""One machine: a clone of the template, its cloud-init disk, its domain (guide 4.1.2)."""

import pulumi
import pulumi_libvirt as libvirt

from components import remote
from components.config import Config
from components.kvm import cloud_init
from components.kvm.network import Networks
from components.topology import Node, mac

GIB = 1024**3

_CPU_MODE = {"kvm": "host-passthrough", "qemu": "maximum"}


class Template(pulumi.ComponentResource):
    """The volume that all machines are clones of."""

    volume: libvirt.Volume

    def __init__(self, config: Config, opts: pulumi.ResourceOptions) -> None:
        """Upload the baked template, or the cloud image that takes its place."""
        super().__init__("lab:kvm:Template", "template", None, opts)
        self.volume = libvirt.Volume(
            "template",
            name=f"template-{config.hypervisor.template.name}",
            pool=config.hypervisor.pool,
            source=str(config.hypervisor.template),
            format="qcow2",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


class Machine(pulumi.ComponentResource):
    """A node of the topology as a running virtual machine, reached through `host`."""

    host: remote.Host

    def __init__(self, node: Node, config: Config, networks: Networks, template: Template) -> None:
        """Clone, describe and start the machine.

        It has a connection to libvirt of its own: on a shared one cloud-init disks that are written, or read by a
        refresh, side by side block each other for good.
        """
        super().__init__("lab:kvm:Machine", node.name)
        hypervisor = libvirt.Provider(
            f"{node.name}-hypervisor", uri=config.hypervisor.uri, opts=pulumi.ResourceOptions(parent=self)
        )
        child = pulumi.ResourceOptions(parent=self, provider=hypervisor, delete_before_replace=True)
        disk = libvirt.Volume(
            f"{node.name}-disk",
            name=node.volume,
            pool=config.hypervisor.pool,
            base_volume_id=template.volume.id,
            size=node.disk * GIB,
            opts=child,
        )
        volumes = (template.volume, disk)
        documents = cloud_init.render(
            node,
            config.site,
            login=remote.login_key_pair(config.secrets),
            host_key=remote.host_key_pair(node, config.secrets),
        )
        seed = libvirt.CloudInitDisk(
            f"{node.name}-cloud-init",
            name=f"{node.machine}-cloud-init.iso",
            pool=config.hypervisor.pool,
            user_data=pulumi.Output.secret(documents.user_data),
            network_config=documents.network_config,
            meta_data=documents.meta_data,
            opts=child,
        )
        domain = libvirt.Domain(
            f"{node.name}-domain",
            name=node.machine,
            type=config.hypervisor.domain_type,
            cpu=libvirt.DomainCpuArgs(mode=_CPU_MODE[config.hypervisor.domain_type]),
            vcpu=node.vcpus,
            memory=node.memory,
            autostart=True,
            disks=[libvirt.DomainDiskArgs(volume_id=disk.id)],
            cloudinit=seed.id,
            network_interfaces=[
                libvirt.DomainNetworkInterfaceArgs(network_id=networks.provider.id, mac=mac(node.address)),
                libvirt.DomainNetworkInterfaceArgs(network_id=networks.internal.id, mac=mac(node.internal_address)),
            ],
            consoles=[libvirt.DomainConsoleArgs(type="pty", target_type="serial", target_port="0")],
            graphics=libvirt.DomainGraphicsArgs(type="vnc", listen_type="address", listen_address="127.0.0.1"),
            opts=pulumi.ResourceOptions.merge(
                child,
                # A new disk has the former one's path, so that its identifier alone does not tell.
                pulumi.ResourceOptions(
                    replace_on_changes=["network_interfaces", "cloudinit"], replace_with=list(volumes)
                ),
            ),
        )
        self.host = remote.connect(node, domain, volumes, config.secrets)
        self.register_outputs({})
