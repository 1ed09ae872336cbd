"""OpenStack Zed from Debian 12's own packages: keystone 22, glance 25, MariaDB 10.11, RabbitMQ 3.10, HAProxy 2.6.

Debian's API daemons read /etc/default/<name>, where DAEMON_ARGS replaces their bind address and process count: the
packages' own (all addresses, 8 to 16 processes) would collide with HAProxy and drown a small node.
"""

from components.services import firewall, horizon, infrastructure, keystone, neutron, nova, placement
from components.services.ini import Ini
from components.services.model import EVERY_ROLE, ConfigFile, Packaging, Port, Protocol, Release, Site, Text
from components.topology import Node, Role, mac

_BRIDGE = "br0"


def _uwsgi(name: str, port: int, ini: str) -> ConfigFile:
    """/etc/default/<name> of an API that Debian runs under uWSGI on the node's own address.

    One thread a process: with more, the first requests of Keystone or Nova race to load oslo.policy's rules (one gets
    status 500), and Neutron's eventlet hangs for good. uWSGI closes each connection after its answer; a client that is
    not told so sends its next request into it, after an answer without a body, such as a deletion's.
    """

    def content(site: Site, node: Node) -> str:
        return (
            f'DAEMON_ARGS="--http-socket {node.address}:{port} --ini {ini} '
            f'--processes {site.workers(node)} --threads 1 --add-header Connection:close"\n'
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


def _keep_rules(_site: Site, _node: Node) -> str:
    """Debian's unit deletes everybody's rules when it stops, Neutron's too."""
    return "[Service]\nExecStop=\n"


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


def _patient(unit: str) -> ConfigFile:
    """A start that is to be reported gets 90 s of systemd; on a busy emulated machine Nova takes longer."""
    return ConfigFile(
        path=f"/etc/systemd/system/{unit}.service.d/patient.conf",
        content=lambda _site, _node: "[Service]\nTimeoutStartSec=900\n",
    )


def _console_proxy(_site: Site, _node: Node) -> str:
    return "NOVA_CONSOLE_PROXY_TYPE=novnc\nNOVA_SERIAL_PROXY_START=false\n"


def _nova(site: Site, _node: Node) -> Ini:
    """Two options went with nova-network, two are deprecated; `nova-status upgrade check` asks for the service user."""
    return {
        "DEFAULT": {"use_neutron": None, "firewall_driver": None},
        "api": {"auth_strategy": None},
        "glance": {"api_servers": None},
        "service_user": {**keystone.login(site, "nova"), "region_name": None, "send_service_user_token": True},
    }


def _neutron(_site: Site, _node: Node) -> Ini:
    return {"experimental": {"linuxbridge": True}}


def _apache_ports(_site: Site, node: Node) -> str:
    return f"Listen {node.address}:{horizon.PORT}\n"


def _dashboard_site(site: Site, node: Node) -> str:
    return f"""WSGIScriptAlias {horizon.PATH} /usr/share/openstack-dashboard/wsgi.py process-group=horizon
WSGIDaemonProcess horizon user=www-data group=www-data processes={site.workers(node)} threads=4 display-name=horizon
WSGIProcessGroup horizon
WSGIApplicationGroup %{{GLOBAL}}
# At the start, not at the first page.
WSGIImportScript /usr/share/openstack-dashboard/wsgi.py process-group=horizon application-group=%{{GLOBAL}}
Alias {horizon.PATH}/static /var/lib/openstack-dashboard/static
Alias /static /var/lib/openstack-dashboard/static
RedirectMatch ^/$ {horizon.PATH}/

<Directory /usr/share/openstack-dashboard>
  Require all granted
</Directory>

<Directory /var/lib/openstack-dashboard/static>
  Require all granted
</Directory>
"""


def _fast_yaml(_site: Site, _node: Node) -> str:
    """The first page reads the policies of all services: 20,000 lines."""
    return "import yaml\n\nyaml.SafeLoader = yaml.CSafeLoader\n"


_DASHBOARD = """dashboard=/var/lib/openstack-dashboard
if [ ! -e $dashboard/compressed-for-dashboard ]; then
  run_as root python3 /usr/share/openstack-dashboard/manage.py compress --force
  touch $dashboard/compressed-for-dashboard
fi
rm -f /etc/apache2/sites-enabled/*.conf
ln -s ../sites-available/openstack-lab.conf /etc/apache2/sites-enabled/
apache2ctl -t"""
"""The template's static files are made for the dashboard's address already; the packages' are for another one."""

ZED_DEBIAN12 = Release(
    name="zed-debian12",
    title="OpenStack Zed, Debian 12",
    interface=_BRIDGE,
    install="install_debian",
    absent="absent_debian",
    clock=lambda _site, _node: "chronyc -n -c tracking 2>&1",
    clock_agrees="chronyc waitsync 30 1 0 1",
    packaging={
        "time": Packaging(
            packages=("chrony",),
            units=("chrony.service",),
            files=(ConfigFile(path="/etc/chrony/chrony.conf", content=infrastructure.chrony_conf),),
            ports=(Port(protocol=Protocol.UDP, ports="123", role=Role.CONTROLLER, clients=EVERY_ROLE),),
        ),
        "network": Packaging(
            files=(
                _networkd("br0.netdev", _bridge_netdev),
                _networkd("prov.netdev", _veth_netdev),
                _networkd("br0-ports.network", _bridge_ports),
                _networkd("prov0.network", _agent_end),
                _networkd("br0.network", _bridge_network),
            ),
            # It answers before all is done.
            activate=f"networkctl reload\nwait_for 'an address on {_BRIDGE}' 60 has_address {_BRIDGE}",
        ),
        "firewall": Packaging(
            packages=("nftables",),
            units=("nftables.service",),
            files=(
                ConfigFile(path="/etc/nftables.conf", content=firewall.nftables),
                ConfigFile(path="/etc/systemd/system/nftables.service.d/keep.conf", content=_keep_rules),
            ),
            prepare="nft --check --file /etc/nftables.conf",
            activate="nft --file /etc/nftables.conf",
        ),
        "mariadb": Packaging(
            packages=("mariadb-server",),
            units=("mariadb.service",),
            paths={"/etc/my.cnf.d/openstack.cnf": "/etc/mysql/mariadb.conf.d/99-openstack.cnf"},
            settings={"openstack.cnf": _mariadb},
        ),
        "rabbitmq": Packaging(
            packages=("rabbitmq-server",),
            units=("rabbitmq-server.service",),
            facts={"schedulers": "+S 1:1 +SDcpu 1:1 +sbwt none +sbwtdcpu none +sbwtdio none", "no tags": "[]"},
            rereads={"/etc/rabbitmq/definitions.json": "rabbitmqctl import_definitions /etc/rabbitmq/definitions.json"},
        ),
        "memcached": Packaging(
            packages=("memcached",),
            units=("memcached.service",),
            files=(ConfigFile(path="/etc/memcached.conf", content=_memcached_conf),),
        ),
        "haproxy": Packaging(
            packages=("haproxy",), units=("haproxy.service",), facts={"socket": "/run/haproxy/admin.sock"}
        ),
        "keepalived": Packaging(
            packages=("keepalived",), units=("keepalived.service",), facts={"pidof": "/usr/bin/pidof"}
        ),
        "keystone": Packaging(
            packages=("keystone", "python3-pymysql", "python3-memcache", "mariadb-client"),
            units=("keystone.service", "keystone-token-keys.timer"),
            files=(_uwsgi("keystone", keystone.PORT, "/etc/keystone/keystone-uwsgi.ini"),),
            logs=("/var/log/keystone/keystone.log",),
        ),
        "glance": Packaging(
            packages=("glance-api", "python3-pymysql", "python3-memcache"),
            units=("glance-api.service",),
            settings={"glance-api.conf": _glance_store},
            logs=("/var/log/glance/glance-api.log",),
        ),
        "placement": Packaging(
            packages=("placement-api", "python3-pymysql", "python3-memcache"),
            units=("placement-api.service",),
            files=(_uwsgi("placement-api", placement.PORT, "/etc/placement/placement-api-uwsgi.ini"),),
            logs=("/var/log/placement/placement-api.log",),
        ),
        "nova": Packaging(
            packages=(
                *("nova-api", "nova-conductor", "nova-scheduler", "nova-consoleproxy"),
                *("python3-pymysql", "python3-memcache"),
            ),
            units=(
                *("nova-conductor.service", "nova-scheduler.service"),
                *("nova-api.service", "nova-api-metadata.service", "nova-novncproxy.service"),
            ),
            first=frozenset({"nova-api.service"}),
            files=(
                _uwsgi("nova-api", nova.API_PORT, "/etc/nova/nova-api-uwsgi.ini"),
                _uwsgi("nova-api-metadata", nova.METADATA_PORT, "/etc/nova/nova-api-metadata-uwsgi.ini"),
                ConfigFile(path="/etc/default/nova-consoleproxy", content=_console_proxy),
                _patient("nova-conductor"),
                _patient("nova-scheduler"),
            ),
            settings={"nova.conf": _nova},
            # The guide's vnc_auto.html waits for a click in noVNC 1.3.
            facts={"console page": "vnc_lite.html"},
            logs=("/var/log/nova/nova-api.log", "/var/log/nova/nova-conductor.log", "/var/log/nova/nova-scheduler.log"),
        ),
        "nova-compute": Packaging(
            packages=("nova-compute", "nova-compute-qemu", "libvirt-daemon-system", "qemu-system-x86", "qemu-utils"),
            units=("libvirtd.service", "nova-compute.service"),
            files=(_patient("nova-compute"),),
            settings={"nova.conf": _nova},
            logs=("/var/log/nova/nova-compute.log",),
        ),
        "neutron": Packaging(
            packages=("neutron-server", "python3-pymysql", "python3-memcache"),
            units=("neutron-api.service", "neutron-rpc-server.service"),
            first=frozenset({"neutron-api.service"}),
            files=(_uwsgi("neutron-server", neutron.PORT, "/etc/neutron/neutron-api-uwsgi.ini"),),
            settings={"neutron.conf": _neutron},
            logs=("/var/log/neutron/neutron-api.log", "/var/log/neutron/neutron-rpc-server.log"),
        ),
        "neutron-linuxbridge": Packaging(
            packages=("neutron-linuxbridge-agent", "bridge-utils", "ebtables", "iptables", "ipset"),
            units=("neutron-linuxbridge-agent.service",),
            settings={"neutron.conf": _neutron, "linuxbridge_agent.ini": neutron.uplink},
            logs=("/var/log/neutron/neutron-linuxbridge-agent.log",),
        ),
        "neutron-dhcp": Packaging(
            packages=("neutron-dhcp-agent", "dnsmasq-base"),
            units=("neutron-dhcp-agent.service",),
            settings={"neutron.conf": _neutron},
            logs=("/var/log/neutron/neutron-dhcp-agent.log",),
        ),
        "neutron-metadata": Packaging(
            packages=("neutron-metadata-agent",),
            units=("neutron-metadata-agent.service",),
            settings={"neutron.conf": _neutron},
            logs=("/var/log/neutron/neutron-metadata-agent.log",),
        ),
        "horizon": Packaging(
            packages=("openstack-dashboard", "openstack-dashboard-apache", "apache2", "libapache2-mod-wsgi-py3"),
            units=("apache2.service",),
            paths={"/etc/openstack-dashboard/local_settings": "/etc/openstack-dashboard/local_settings.d/_9999_lab.py"},
            files=(
                ConfigFile(path="/etc/openstack-dashboard/local_settings.d/_9998_yaml.py", content=_fast_yaml),
                ConfigFile(path="/etc/apache2/ports.conf", content=_apache_ports),
                ConfigFile(path="/etc/apache2/sites-available/openstack-lab.conf", content=_dashboard_site),
            ),
            facts={"cache": "django.core.cache.backends.memcached.PyMemcacheCache"},
            prepare=_DASHBOARD,
            logs=("/var/log/apache2/error.log",),
        ),
    },
)
