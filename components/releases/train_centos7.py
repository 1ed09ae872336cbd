"""OpenStack Train from CentOS 7's archive, as the guide has it: keystone 16, glance 19, MariaDB 10.3, RabbitMQ 3.6.

Keystone, Placement and Horizon are sites of one Apache; Nova and Neutron bring their own servers. SELinux enforces:
openstack-selinux, on every node, allows what OpenStack's own and HAProxy need, and `file` labels what the lab writes.
"""

from components.services import firewall, horizon, keystone, neutron, placement
from components.services.ini import Ini
from components.services.model import ConfigFile, Packaging, Release, Site, Text, constant
from components.topology import Node, Role, mac

_BRIDGE = "br0"

_KEYS = "centos-release-openstack-train"
"""Signed by CentOS itself, it brings the keys of the other repositories' packages."""

_REPOSITORIES = (
    ("centos-os", "os/x86_64/", "CentOS-7"),
    ("centos-updates", "updates/x86_64/", "CentOS-7"),
    ("centos-extras", "extras/x86_64/", "CentOS-7"),
    ("train", "cloud/x86_64/openstack-train/", "CentOS-SIG-Cloud"),
    ("kvm", "virt/x86_64/kvm-common/", "CentOS-SIG-Virtualization"),
    ("ceph", "storage/x86_64/ceph-nautilus/", "CentOS-SIG-Storage"),
)
"""Name, place below the archive's base URL, whose key signs the packages."""


def _repositories(site: Site) -> str:
    return "\n".join(
        f"""[openstack-lab-{name}]
name=openstack-lab: {place}
baseurl={site.archive}/{place}
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-{key}
"""
        for name, place, key in _REPOSITORIES
    )


def _clock_service(site: Site, _node: Node) -> str:
    return f"""[Unit]
Description=The clock by {", ".join(site.ntp)}

[Service]
Type=oneshot
ExecStart=/sbin/ntpdate {" ".join(site.ntp)}
ExecStartPost=/usr/sbin/hwclock -w
"""


_CLOCK_TIMER = """[Unit]
Description=The clock every ten minutes

[Timer]
OnBootSec=1min
OnCalendar=*:0/10

[Install]
WantedBy=timers.target
"""

_TOKEN_KEYS_HOURLY = "[Timer]\nOnCalendar=hourly\n"
"""Besides Thursday in UTC, since a timer of systemd 219 knows no time zone. The same keys made again do no harm."""


def _interface(name: str, content: Text) -> ConfigFile:
    return ConfigFile(path=f"/etc/sysconfig/network-scripts/ifcfg-{name}", content=content)


def _port(name: str) -> str:
    return f"TYPE=Ethernet\nBOOTPROTO=static\nDEVICE={name}\nONBOOT=yes\nNM_CONTROLLED=no\n"


def _internal(site: Site, node: Node) -> str:
    netmask = site.topology.internal.cidr.netmask
    return f"{_port('eth1')}IPADDR={node.internal_address}\nNETMASK={netmask}\n"


def _bridge(site: Site, node: Node) -> str:
    provider = site.topology.provider
    return f"""TYPE=Bridge
BOOTPROTO=static
DEVICE={_BRIDGE}
ONBOOT=yes
NM_CONTROLLED=no
IPADDR={node.address}
NETMASK={provider.cidr.netmask}
GATEWAY={provider.gateway}
MACADDR={mac(node.address).lower()}
STP=no
DELAY=0
"""


_VETH = """[Unit]
Description=The veth pair between the bridge of the node and Neutron's
Before=network.service
Wants=network.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '[ -e /sys/class/net/prov0 ] || exec /sbin/ip link add prov0 type veth peer name prov1'

[Install]
WantedBy=multi-user.target
"""


def _resolver(site: Site, _node: Node) -> str:
    return "".join(f"nameserver {server}\n" for server in site.dns)


def _mariadb(_site: Site, _node: Node) -> Ini:
    return {"mysqld": {"skip-name-resolve": "on", "plugin-load-add": "auth_socket"}}


def _rabbitmq(_site: Site, node: Node) -> str:
    """The user is there from the first start on, in place of guest; definitions bring another password in."""
    return f"""[
 {{rabbit, [
  {{tcp_listeners, [{{"{node.address}", 5672}}]}},
  {{default_user, <<"openstack">>}},
  {{default_pass, <<"@openstack_rabbitmq_password@">>}},
  {{default_user_tags, []}},
  {{default_permissions, [<<".*">>, <<".*">>, <<".*">>]}}
 ]}},
 {{rabbitmq_management, [
  {{listener, [{{ip, "127.0.0.1"}}, {{port, 15672}}]}},
  {{load_definitions, "/etc/rabbitmq/definitions.json"}}
 ]}}
].
"""


def _memcached(_site: Site, node: Node) -> str:
    return f"""PORT="11211"
USER="memcached"
MAXCONN="1024"
CACHESIZE="64"
OPTIONS="-l {node.address} -U 0"
"""


def _httpd(site: Site, node: Node) -> str:
    return f"""ServerRoot "/etc/httpd"
ServerName {site.vip_name}
Listen {node.address}:{horizon.PORT}

Include conf.modules.d/*.conf

User apache
Group apache

<Directory />
  AllowOverride none
  Require all denied
</Directory>

DocumentRoot "/var/www/html"

<Directory "/var/www/html">
  AllowOverride None
  Require all granted
</Directory>

ErrorLog "logs/error_log"
LogLevel warn
LogFormat "%h %l %u %t \\"%r\\" %>s %b" common
CustomLog "logs/access_log" common
TypesConfig /etc/mime.types
AddDefaultCharset UTF-8

IncludeOptional conf.d/*.conf
"""


def _wsgi(name: str, port: int, user: str, script: str, log: str) -> Text:
    """An API under Apache; /usr/bin is opened as the guide does after status 403 (4.7.2.3)."""

    def content(site: Site, node: Node) -> str:
        return f"""Listen {node.address}:{port}

<VirtualHost {node.address}:{port}>
  WSGIDaemonProcess {name} processes={site.workers(node)} threads=1 user={user} group={user}
  WSGIProcessGroup {name}
  WSGIScriptAlias / {script}
  WSGIApplicationGroup %{{GLOBAL}}
  WSGIPassAuthorization On
  LimitRequestBody 114688
  ErrorLogFormat "%{{cu}}t %M"
  ErrorLog {log}

  <Directory /usr/bin>
    Require all granted
  </Directory>
</VirtualHost>
"""

    return content


def _dashboard(site: Site, node: Node) -> str:
    """At no site of its own, as in the package: all of it holds for the APIs' sites as well, so nothing redirects."""
    return f"""WSGIDaemonProcess dashboard processes={site.workers(node)} threads=4
WSGIProcessGroup dashboard
WSGISocketPrefix run/wsgi
WSGIApplicationGroup %{{GLOBAL}}

WSGIScriptAlias {horizon.PATH} /usr/share/openstack-dashboard/openstack_dashboard/wsgi/django.wsgi
Alias {horizon.PATH}/static /usr/share/openstack-dashboard/static
Alias /static /usr/share/openstack-dashboard/static

<Directory /usr/share/openstack-dashboard/openstack_dashboard/wsgi>
  Require all granted
</Directory>

<Directory /usr/share/openstack-dashboard/static>
  Require all granted
</Directory>
"""


_DASHBOARD_SETTINGS = "/usr/share/openstack-dashboard/openstack_dashboard/local/local_settings.d/_99_lab.py"
"""Read after the package's `local_settings` (LOCAL_SETTINGS_DIR_PATH in Horizon's settings.py). Below /etc only Red
Hat's own product has a link to that directory."""

_KEYSTONE_LOG, _PLACEMENT_LOG = "/var/log/httpd/keystone.log", "/var/log/placement/placement-api.log"

_APACHE = (
    ConfigFile(path="/etc/httpd/conf/httpd.conf", content=_httpd),
    ConfigFile(
        path="/etc/httpd/conf.d/wsgi-keystone.conf",
        content=_wsgi("keystone-public", keystone.PORT, "keystone", "/usr/bin/keystone-wsgi-public", _KEYSTONE_LOG),
    ),
    ConfigFile(
        path="/etc/httpd/conf.d/00-placement-api.conf",
        content=_wsgi("placement-api", placement.PORT, "placement", "/usr/bin/placement-api", _PLACEMENT_LOG),
    ),
    ConfigFile(path="/etc/httpd/conf.d/openstack-dashboard.conf", content=_dashboard),
    ConfigFile(
        path="/etc/systemd/system/httpd.service.d/patient.conf", content=constant("[Service]\nTimeoutStartSec=900\n")
    ),
)
"""Each service on Apache brings all of its sites, since it reads them all at every start: a package's own would take
its port on every address. The dashboard's package has it compress static files before that."""

_APACHE_CHECK = "httpd -t"


def _nova(site: Site, node: Node) -> Ini:
    """Nova's own server serves both APIs."""
    if Role.CONTROLLER not in node.roles:
        return {}
    address, workers = str(node.address), site.workers(node)
    return {
        "DEFAULT": {
            "osapi_compute_listen": address,
            "osapi_compute_workers": workers,
            "metadata_listen": address,
            "metadata_workers": workers,
        }
    }


def _neutron(site: Site, node: Node) -> Ini:
    """Neutron's own server, on controllers."""
    if Role.CONTROLLER not in node.roles:
        return {}
    return {"DEFAULT": {"bind_host": str(node.address), "api_workers": site.workers(node)}}


def _clock(site: Site, _node: Node) -> str:
    """The first server that answers; stratum 0 is one that does not."""
    servers = " ".join(site.ntp)
    answer = r"s/^server \([^,]*\), stratum \([1-9][0-9]*\), offset \([^,]*\),.*/,\1,\2,,\3,Normal/p"
    return f"ntpdate -q {servers} 2>/dev/null | sed -n '{answer}' | grep -m 1 . || echo 'no answer from {servers}'"


TRAIN_CENTOS7 = Release(
    name="train-centos7",
    title="OpenStack Train, CentOS 7",
    interface=_BRIDGE,
    install=f"install_centos {_KEYS}",
    absent="absent_centos",
    clock=_clock,
    clock_agrees="true",
    user_data="user-data-centos7.yaml",
    packages=(_KEYS, "openstack-selinux"),
    foundation={"/etc/yum.repos.d/openstack-lab.repo": _repositories},
    packaging={
        "time": Packaging(
            packages=("ntpdate",),
            units=("clock.timer",),
            files=(
                ConfigFile(path="/etc/systemd/system/clock.service", content=_clock_service),
                ConfigFile(path="/etc/systemd/system/clock.timer", content=constant(_CLOCK_TIMER)),
            ),
        ),
        "network": Packaging(
            packages=("bridge-utils",),
            units=("prov.service",),
            files=(
                ConfigFile(path="/etc/systemd/system/prov.service", content=constant(_VETH)),
                _interface("eth0", constant(f"{_port('eth0')}BRIDGE={_BRIDGE}\n")),
                _interface("eth1", _internal),
                _interface(_BRIDGE, _bridge),
                _interface("prov0", constant(_port("prov0"))),
                _interface("prov1", constant(f"{_port('prov1')}BRIDGE={_BRIDGE}\n")),
                ConfigFile(path="/etc/resolv.conf", content=_resolver),
                ConfigFile(
                    path="/etc/cloud/cloud.cfg.d/99-network.cfg", content=constant("network:\n  config: disabled\n")
                ),
            ),
            verb="start",
            activate=f"network_centos {_BRIDGE}",
        ),
        "firewall": Packaging(
            packages=("firewalld",),
            units=("firewalld.service",),
            files=(ConfigFile(path="/etc/openstack-lab/firewall", content=firewall.rich_rules),),
            verb="start",
            activate=f"firewall_centos /etc/openstack-lab/firewall {_BRIDGE}",
        ),
        "mariadb": Packaging(
            packages=("mariadb", "mariadb-server"),
            units=("mariadb.service",),
            files=(
                ConfigFile(
                    path="/etc/systemd/system/mariadb.service.d/connections.conf",
                    content=constant("[Service]\nLimitNOFILE=16384\n"),
                ),
            ),
            settings={"openstack.cnf": _mariadb},
            logs=("/var/log/mariadb/mariadb.log",),
        ),
        "rabbitmq": Packaging(
            packages=("rabbitmq-server",),
            units=("rabbitmq-server.service",),
            omits=frozenset({"/etc/rabbitmq/rabbitmq.conf"}),
            files=(
                ConfigFile(path="/etc/rabbitmq/rabbitmq.config", content=_rabbitmq, group="rabbitmq", mode="0640"),
                ConfigFile(path="/etc/rabbitmq/enabled_plugins", content=constant("[rabbitmq_management].\n")),
            ),
            facts={"schedulers": "+S 1:1 +sbwt none", "no tags": '""'},
        ),
        "memcached": Packaging(
            packages=("memcached",),
            units=("memcached.service",),
            files=(ConfigFile(path="/etc/sysconfig/memcached", content=_memcached),),
        ),
        "haproxy": Packaging(
            packages=("haproxy",),
            units=("haproxy.service",),
            facts={"socket": "/var/lib/haproxy/stats"},
            prepare="selinux_allows haproxy_connect_any",
        ),
        "keepalived": Packaging(
            packages=("keepalived",), units=("keepalived.service",), facts={"pidof": "/usr/sbin/pidof"}
        ),
        "keystone": Packaging(
            packages=(
                *("openstack-keystone", "httpd", "mod_wsgi", "mariadb", "python3"),
                *("python-openstackclient", "python-memcached", "python2-PyMySQL"),
            ),
            units=("httpd.service", "keystone-token-keys.timer"),
            files=(
                *_APACHE,
                ConfigFile(
                    path="/etc/systemd/system/keystone-token-keys.timer.d/hourly.conf",
                    content=constant(_TOKEN_KEYS_HOURLY),
                ),
            ),
            verb="reload-or-restart",
            prepare=_APACHE_CHECK,
            logs=("/var/log/keystone/keystone.log", _KEYSTONE_LOG),
        ),
        "glance": Packaging(
            packages=("openstack-glance",),
            prepare="install -d -o glance -g glance /var/lib/glance/images",
            units=("openstack-glance-api.service",),
            logs=("/var/log/glance/api.log",),
        ),
        "placement": Packaging(
            packages=("openstack-placement-api",),
            units=("httpd.service",),
            files=_APACHE,
            verb="reload-or-restart",
            prepare=_APACHE_CHECK,
            logs=(_PLACEMENT_LOG,),
        ),
        "nova": Packaging(
            packages=(
                *("openstack-nova-api", "openstack-nova-conductor"),
                *("openstack-nova-novncproxy", "openstack-nova-scheduler"),
            ),
            units=(
                *("openstack-nova-api.service", "openstack-nova-scheduler.service"),
                *("openstack-nova-conductor.service", "openstack-nova-novncproxy.service"),
            ),
            first=frozenset({"openstack-nova-api.service"}),
            settings={"nova.conf": _nova},
            facts={"console page": "vnc_auto.html"},
            logs=("/var/log/nova/nova-api.log", "/var/log/nova/nova-conductor.log", "/var/log/nova/nova-scheduler.log"),
        ),
        "nova-compute": Packaging(
            packages=("openstack-nova-compute",),
            units=("libvirtd.service", "openstack-nova-compute.service"),
            settings={"nova.conf": _nova},
            logs=("/var/log/nova/nova-compute.log",),
        ),
        "neutron": Packaging(
            packages=("openstack-neutron", "openstack-neutron-ml2"),
            units=("neutron-server.service",),
            settings={"neutron.conf": _neutron},
            prepare="[ -L /etc/neutron/plugin.ini ] || ln -s plugins/ml2/ml2_conf.ini /etc/neutron/plugin.ini",
            logs=("/var/log/neutron/server.log",),
        ),
        "neutron-linuxbridge": Packaging(
            packages=("openstack-neutron-linuxbridge", "ebtables", "ipset"),
            units=("neutron-linuxbridge-agent.service",),
            settings={"neutron.conf": _neutron, "linuxbridge_agent.ini": neutron.uplink},
            logs=("/var/log/neutron/linuxbridge-agent.log",),
        ),
        "neutron-dhcp": Packaging(
            packages=("openstack-neutron",),
            units=("neutron-dhcp-agent.service",),
            settings={"neutron.conf": _neutron},
            logs=("/var/log/neutron/dhcp-agent.log",),
        ),
        "neutron-metadata": Packaging(
            packages=("openstack-neutron",),
            units=("neutron-metadata-agent.service",),
            settings={"neutron.conf": _neutron},
            logs=("/var/log/neutron/metadata-agent.log",),
        ),
        "horizon": Packaging(
            packages=("openstack-dashboard",),
            units=("httpd.service",),
            paths={"/etc/openstack-dashboard/local_settings": _DASHBOARD_SETTINGS},
            files=_APACHE,
            facts={"cache": "django.core.cache.backends.memcached.MemcachedCache"},
            verb="reload-or-restart",
            prepare=_APACHE_CHECK,
            logs=("/var/log/httpd/error_log",),
        ),
    },
)
