"""OpenStack Zed from Debian 12's own packages: keystone 22, glance 25, MariaDB 10.11, RabbitMQ 3.10, HAProxy 2.6.

Debian's API daemons read /etc/default/<name>, where DAEMON_ARGS replaces their bind address and process count: the
packages' own (all addresses, 8 to 16 processes) would collide with HAProxy and drown a small node.
"""

from components.services.ini import Ini
from components.services.model import ConfigFile, Packaging, Release, Site, Text
from components.topology import Node, mac

_BRIDGE = "br0"


def _uwsgi(name: str, port: int, ini: str, threads: int) -> ConfigFile:
    """/etc/default/<name> of an API that Debian runs under uWSGI on the node's own address."""

    def content(site: Site, node: Node) -> str:
        return (
            f'DAEMON_ARGS="--http-socket {node.address}:{port} --ini {ini} '
            f'--processes {site.workers(node)} --threads {threads}"\n'
        )

    return ConfigFile(path=f"/etc/default/{name}", content=content)


def _bridge_netdev(_site: Site, node: Node) -> str:
    return f"""[NetDev]
Name={_BRIDGE}
Kind=bridge
MACAddress={mac(node.address).lower()}

[Bridge]
STP=no
ForwardDelaySec=0
"""


def _veth_netdev(_site: Site, _node: Node) -> str:
    return "[NetDev]\nName=prov0\nKind=veth\n\n[Peer]\nName=prov1\n"


def _bridge_ports(_site: Site, _node: Node) -> str:
    return f"[Match]\nName=eth0 prov1\n\n[Network]\nBridge={_BRIDGE}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"


def _agent_end(_site: Site, _node: Node) -> str:
    return "[Match]\nName=prov0\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"


def _bridge_network(site: Site, node: Node) -> str:
    provider = site.topology.provider
    servers = "".join(f"DNS={server}\n" for server in site.dns)
    return f"""[Match]
Name={_BRIDGE}

[Network]
Address={provider.interface(node.address)}
Gateway={provider.gateway}
{servers}LinkLocalAddressing=no
IPv6AcceptRA=no
"""


def _networkd(name: str, content: Text) -> ConfigFile:
    return ConfigFile(path=f"/etc/systemd/network/05-{name}", content=content)


def _memcached_conf(_site: Site, node: Node) -> str:
    return f"-m 64\n-p 11211\n-U 0\n-u memcache\n-l {node.address}\n-P /var/run/memcached/memcached.pid\n"


def _mariadb(_site: Site, _node: Node) -> Ini:
    return {
        "mysqld": {
            "skip-name-resolve": "on",
            "innodb_buffer_pool_size": "128M",
            "innodb_flush_log_at_trx_commit": 2,
            "performance_schema": "off",
        }
    }


def _glance_store(_site: Site, _node: Node) -> Ini:
    return {
        "DEFAULT": {"enabled_backends": "file:file"},
        "glance_store": {
            "stores": None,
            "default_store": None,
            "filesystem_store_datadir": None,
            "default_backend": "file",
        },
        "file": {"filesystem_store_datadir": "/var/lib/glance/images/"},
        "oslo_concurrency": {"lock_path": "/var/lock/glance"},
    }


ZED_DEBIAN12 = Release(
    name="zed-debian12",
    title="OpenStack Zed, Debian 12",
    interface=_BRIDGE,
    install="install_debian",
    packaging={
        "time": Packaging(
            packages=("chrony",),
            units=("chrony.service",),
            paths={"/etc/chrony.conf": "/etc/chrony/chrony.conf"},
        ),
        "network": Packaging(
            files=(
                _networkd("br0.netdev", _bridge_netdev),
                _networkd("prov.netdev", _veth_netdev),
                _networkd("br0-ports.network", _bridge_ports),
                _networkd("prov0.network", _agent_end),
                _networkd("br0.network", _bridge_network),
            ),
            activate="networkctl reload",
        ),
        "mariadb": Packaging(
            packages=("mariadb-server",),
            units=("mariadb.service",),
            paths={"/etc/my.cnf.d/openstack.cnf": "/etc/mysql/mariadb.conf.d/99-openstack.cnf"},
            settings={"openstack.cnf": _mariadb},
        ),
        "rabbitmq": Packaging(packages=("rabbitmq-server",), units=("rabbitmq-server.service",)),
        "memcached": Packaging(
            packages=("memcached",),
            units=("memcached.service",),
            files=(ConfigFile(path="/etc/memcached.conf", content=_memcached_conf),),
        ),
        "haproxy": Packaging(packages=("haproxy",), units=("haproxy.service",)),
        "keepalived": Packaging(packages=("keepalived",), units=("keepalived.service",)),
        "keystone": Packaging(
            packages=("keystone", "python3-pymysql", "python3-memcache", "mariadb-client"),
            units=("keystone.service",),
            files=(_uwsgi("keystone", 5000, "/etc/keystone/keystone-uwsgi.ini", threads=4),),
            logs=("/var/log/keystone/keystone.log",),
        ),
        "glance": Packaging(
            packages=("glance-api", "python3-pymysql", "python3-memcache"),
            units=("glance-api.service",),
            settings={"glance-api.conf": _glance_store},
            logs=("/var/log/glance/glance-api.log",),
        ),
    },
)
