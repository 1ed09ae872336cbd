"""Placement: what the compute nodes have, and who uses it (guide 4.7.3)."""

from components.services import keystone, scripts
from components.services.ini import Ini
from components.services.model import ConfigFile, Endpoint, Listener, Migration, Service, Site
from components.topology import Node, Role

PORT = 8778


def _placement_conf(site: Site, _node: Node) -> Ini:
    return {
        "placement_database": {"connection": site.database_url("placement", "placement")},
        "api": {"auth_strategy": "keystone"},
        **keystone.authtoken(site, "placement"),
    }


PLACEMENT = Service(
    name="placement",
    roles=(Role.CONTROLLER,),
    after=("network", "mariadb", "memcached", "haproxy", "keepalived"),
    files=(
        ConfigFile(path="/etc/placement/placement.conf", content=_placement_conf, group="placement", mode="0640"),
        ConfigFile(path="/root/placement-api.sh", content=scripts.restart("placement"), mode="0755"),
    ),
    migrations=(Migration(database="placement", command="placement-manage db sync"),),
    listeners=(Listener(name="placement-api", port=PORT),),
    endpoint=Endpoint(type="placement", description="Placement API", port=PORT),
    has_user=True,
)
