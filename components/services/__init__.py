"""The services of the lab, in start order. A new service is one file here and one line in CATALOGUE."""

from components.services.glance import GLANCE
from components.services.haproxy import HAPROXY, KEEPALIVED
from components.services.infrastructure import MARIADB, MEMCACHED, NETWORK, RABBITMQ, TIME
from components.services.keystone import KEYSTONE
from components.services.model import Service

CATALOGUE: tuple[Service, ...] = (
    TIME,
    NETWORK,
    MARIADB,
    RABBITMQ,
    MEMCACHED,
    HAPROXY,
    KEEPALIVED,
    KEYSTONE,
    GLANCE,
)
