"""Glance with a file store on the controller (guide 4.7.2)."""

from components.services import keystone, scripts
from components.services.ini import Ini
from components.services.model import ConfigFile, Endpoint, Listener, Migration, Service, Site
from components.topology import Node, Role

PORT = 9292


def _glance_api_conf(site: Site, node: Node) -> Ini:
    workers = site.workers(node)
    return {
        # A parent of workers asks a hundred times a second whether they live; 0 is one process without a parent.
        "DEFAULT": {"bind_host": str(node.address), "workers": workers if workers > 1 else 0},
        "database": {"connection": site.database_url("glance", "glance")},
        **keystone.authtoken(site, "glance"),
        "paste_deploy": {"flavor": "keystone"},
        "glance_store": {
            "stores": ["file", "http"],
            "default_store": "file",
            "filesystem_store_datadir": "/var/lib/glance/images/",
        },
    }


GLANCE = Service(
    name="glance",
    roles=(Role.CONTROLLER,),
    after=("network", "mariadb", "memcached", "haproxy", "keepalived"),
    files=(
        ConfigFile(path="/etc/glance/glance-api.conf", content=_glance_api_conf, group="glance", mode="0640"),
        ConfigFile(path="/root/glance-restart.sh", content=scripts.restart("glance"), mode="0755"),
    ),
    migrations=(Migration(database="glance", command="glance-manage db_sync"),),
    listeners=(Listener(name="glance-api", port=PORT, single=True),),
    endpoint=Endpoint(type="image", description="OpenStack Image", port=PORT),
    has_user=True,
)
"""`single`: each controller would have a file store of its own."""
