"""OpenStack Epoxy from Debian 13's own packages: keystone 27, glance 30, MariaDB 11.8, RabbitMQ 4.0, HAProxy 3.0.

They are packaged like Debian 12's; here stands what is not. Neutron has no Linux bridge driver any more.
"""

from dataclasses import replace

from components.releases.zed_debian12 import ZED_DEBIAN12
from components.services.ini import Ini
from components.services.model import Packaging, Site
from components.topology import Node

_ZED = ZED_DEBIAN12.packaging

_IDENTITY = """if [ ! -e /var/lib/nova/compute_id ]; then
  file /var/lib/nova/compute_id nova:nova 0644 < <(
    python3 -c 'import sys, uuid; print(uuid.uuid5(uuid.NAMESPACE_DNS, sys.argv[1]))' "$(hostname --fqdn)"
  )
fi"""
"""A new disk gives a node the identity it had: Nova (since 2023.1) refuses a node it knows that brings another or none.

Upstream: `Compute service node identification` in Nova's administration guide.
"""


def _ml2(_site: Site, _node: Node) -> Ini:
    return {"ml2": {"mechanism_drivers": "openvswitch"}}


def _dhcp(_site: Site, _node: Node) -> Ini:
    return {"DEFAULT": {"interface_driver": "openvswitch"}}


EPOXY_DEBIAN13 = replace(
    ZED_DEBIAN12,
    name="epoxy-debian13",
    title="OpenStack Epoxy, Debian 13",
    user_roles=("member",),
    service_roles=("service",),
    packaging={
        **{name: packaging for name, packaging in _ZED.items() if name != "neutron-linuxbridge"},
        "nova-compute": replace(_ZED["nova-compute"], prepare=_IDENTITY),
        "neutron": replace(_ZED["neutron"], settings={"ml2_conf.ini": _ml2}),
        "openvswitch": Packaging(
            packages=("openvswitch-switch",),
            units=("openvswitch-switch.service",),
            logs=("/var/log/openvswitch/ovs-vswitchd.log", "/var/log/openvswitch/ovsdb-server.log"),
        ),
        "neutron-openvswitch": Packaging(
            packages=("neutron-openvswitch-agent",),
            units=("neutron-openvswitch-agent.service",),
            logs=("/var/log/neutron/neutron-openvswitch-agent.log",),
        ),
        "neutron-dhcp": replace(_ZED["neutron-dhcp"], settings={"dhcp_agent.ini": _dhcp}),
        "neutron-metadata": replace(_ZED["neutron-metadata"], settings={}),
    },
)
