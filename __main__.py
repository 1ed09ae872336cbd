"""One graph from an empty KVM host to a working cloud: configuration, networks, machines, services, cloud."""

import sys
from pathlib import Path

import pulumi
import pulumi_libvirt as libvirt
from pulumi.runtime import config as engine

from components import config as configuration
from components.cloud.clients import ClientFiles
from components.cloud.cloud import Cloud
from components.control_plane.control_plane import ControlPlane
from components.kvm.machine import Machine, Template
from components.kvm.network import Networks
from components.services.haproxy import statistics_url
from components.services.horizon import dashboard_url
from components.topology import Role

CLIENTS = Path(__file__).resolve().parent / ".lab" / "openrc" / pulumi.get_stack()

try:
    config = configuration.from_engine(engine.CONFIG.get(), engine.is_config_secret)
except configuration.ConfigError as error:
    for finding in error.findings:
        pulumi.log.error(finding)
    sys.exit(1)

site = config.site
topology = site.topology

hypervisor = libvirt.Provider("hypervisor", uri=config.hypervisor.uri)
on_hypervisor = pulumi.ResourceOptions(provider=hypervisor)
networks = Networks(topology, on_hypervisor)
template = Template(config, on_hypervisor)
machines = {node.name: Machine(node, config, networks, template) for node in topology.nodes}

hosts = {name: machine.host for name, machine in machines.items()}

database = topology.having(Role.DATABASE)[0]
in_database = pulumi.ResourceOptions(deleted_with=hosts[database.name].resource)
control_plane = ControlPlane(site, config.secrets, hosts, in_database)
cloud = Cloud(config, control_plane, in_database)
clients = ClientFiles(site, config.secrets, CLIENTS)

pulumi.export("vip", str(topology.vip))
pulumi.export("nodes", {node.fqdn: str(node.address) for node in topology.nodes})
pulumi.export("endpoints", {service.name: site.url(service.endpoint) for service in site.catalogue if service.endpoint})
pulumi.export("dashboard", dashboard_url(site))
pulumi.export("statistics", statistics_url(site))
if cloud.instance:
    pulumi.export("instance", cloud.instance.address)
pulumi.export("clients", {name: str(path) for name, path in clients.paths.items()})
