"""The services of the lab, in start order. A new service is one file here and one line in CATALOGUE.

A release has those that it packages: Neutron's network over Linux bridges, or over Open vSwitch.
"""

from components.services.firewall import FIREWALL
from components.services.glance import GLANCE
from components.services.haproxy import HAPROXY, KEEPALIVED
from components.services.horizon import HORIZON
from components.services.infrastructure import MARIADB, MEMCACHED, NETWORK, RABBITMQ, TIME
from components.services.keystone import KEYSTONE
from components.services.model import Service
from components.services.neutron import DHCP, LINUXBRIDGE, METADATA, NEUTRON, OPENVSWITCH, OPENVSWITCH_AGENT
from components.services.nova import COMPUTE, NOVA
from components.services.placement import PLACEMENT

CATALOGUE: tuple[Service, ...] = (
    TIME,
    NETWORK,
    FIREWALL,
    MARIADB,
    RABBITMQ,
    MEMCACHED,
    HAPROXY,
    KEEPALIVED,
    KEYSTONE,
    GLANCE,
    PLACEMENT,
    NOVA,
    NEUTRON,
    LINUXBRIDGE,
    OPENVSWITCH,
    OPENVSWITCH_AGENT,
    DHCP,
    METADATA,
    COMPUTE,
    HORIZON,
)
