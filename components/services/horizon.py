"""Horizon under Apache at /dashboard (guide 4.7.4)."""

from components.services import keystone
from components.services.model import ConfigFile, Listener, Mode, Service, Site
from components.topology import Node, Role

PORT = 80
PATH = "/dashboard"


def dashboard_url(site: Site) -> str:
    """The dashboard through the virtual address."""
    return f"http://{site.vip_name}{PATH}"


def _local_settings(site: Site, node: Node) -> str:
    hosts = [site.vip_name, str(site.topology.vip), node.fqdn, str(node.address)]
    return f"""OPENSTACK_HOST = "{site.vip_name}"
ALLOWED_HOSTS = {hosts!r}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {{
    "default": {{
        "BACKEND": "{site.fact("horizon", "cache")}",
        "LOCATION": "{site.vip_name}:11211",
    }}
}}
OPENSTACK_KEYSTONE_URL = "http://%s:{keystone.PORT}/v3" % OPENSTACK_HOST
OPENSTACK_KEYSTONE_MULTIDOMAIN_SUPPORT = True
OPENSTACK_API_VERSIONS = {{"identity": 3, "image": 2, "volume": 3}}
OPENSTACK_KEYSTONE_DEFAULT_DOMAIN = "Default"
OPENSTACK_KEYSTONE_DEFAULT_ROLE = "user"
OPENSTACK_NEUTRON_NETWORK = {{
    "enable_router": False,
    "enable_quotas": False,
    "enable_distributed_router": False,
    "enable_ha_router": False,
    "enable_lb": False,
    "enable_firewall": False,
    "enable_vpn": False,
    "enable_fip_topology_check": False,
}}
TIME_ZONE = "Asia/Shanghai"
WEBROOT = "{PATH}/"
"""


HORIZON = Service(
    name="horizon",
    roles=(Role.CONTROLLER,),
    after=("network", "memcached", "haproxy", "keepalived", "keystone"),
    files=(ConfigFile(path="/etc/openstack-dashboard/local_settings", content=_local_settings),),
    listeners=(Listener(name="openstack", port=PORT, mode=Mode.HTTP, sticky=True, path=f"{PATH}/auth/login/"),),
)
"""Sessions lie in memcached; `sticky` keeps a browser on the controller whose process has its forms compiled."""
