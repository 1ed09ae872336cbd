"""Nova on controllers (guide 4.7.2.1) and on compute nodes (4.7.2.2).

A node of both roles has one nova.conf, so what it holds follows from the node's roles, not from the service.
"""

from components.services import glance, keystone, neutron, placement, scripts
from components.services.ini import Ini, merge
from components.services.model import (
    CATALOG,
    ConfigFile,
    Endpoint,
    Listener,
    Migration,
    Port,
    Protocol,
    Service,
    Site,
    Task,
    When,
)
from components.topology import Node, Role

API_PORT = 8774
METADATA_PORT = 8775
CONSOLE_PORT = 6080

CELL1_UUID = "8f3d1c0a-6a5b-4b0e-9d3c-1f2e3d4c5b6a"
"""The one cell of every lab; the other one, cell 0, has this as zeros by definition."""

_URL = "{scheme}://{username}:{password}@{hostname}"
"""Nova fills these in from its own configuration, so that no password stands in the table of cells."""


def console_url(site: Site) -> str:
    """The noVNC page through the virtual address; that of an instance has a token, too."""
    return f"http://{site.vip_name}:{CONSOLE_PORT}/{site.fact('nova', 'console page')}"


def _nova_conf(site: Site, node: Node) -> Ini:
    common: Ini = {
        "DEFAULT": {
            "my_ip": str(node.address),
            "transport_url": site.transport_url(),
            "use_neutron": True,
            "firewall_driver": "nova.virt.firewall.NoopFirewallDriver",
            "state_path": "/var/lib/nova",
            "report_interval": 30,
            "service_down_time": 180,
        },
        "api": {"auth_strategy": "keystone"},
        **keystone.authtoken(site, "nova"),
        "glance": {"api_servers": f"http://{site.vip_name}:{glance.PORT}"},
        "oslo_concurrency": {"lock_path": "/var/lib/nova/tmp"},
        "placement": keystone.login(site, placement.PLACEMENT.name),
        "neutron": keystone.login(site, "neutron"),
    }
    return merge(
        common,
        _controller(site, node) if Role.CONTROLLER in node.roles else {},
        _compute(site, node) if Role.COMPUTE in node.roles else {},
    )


def _controller(site: Site, node: Node) -> Ini:
    return {
        "DEFAULT": {"enabled_apis": ["osapi_compute", "metadata"]},
        "api_database": {"connection": site.database_url("nova", "nova_api")},
        "database": {"connection": site.database_url("nova", "nova")},
        "vnc": {
            "enabled": True,
            "server_listen": str(node.address),
            "server_proxyclient_address": str(node.address),
            "novncproxy_host": str(node.address),
        },
        "neutron": {
            "service_metadata_proxy": True,
            "metadata_proxy_shared_secret": f"@{neutron.METADATA_SECRET}@",
        },
        "conductor": {"workers": site.workers(node)},
        "scheduler": {"workers": site.workers(node), "discover_hosts_in_cells_interval": 300},
    }


def _compute(site: Site, node: Node) -> Ini:
    return {
        "DEFAULT": {"resume_guests_state_on_host_boot": True, "vif_plugging_timeout": 600},
        "vnc": {
            "enabled": True,
            "server_listen": str(node.address),
            "server_proxyclient_address": str(node.address),
            "novncproxy_base_url": console_url(site),
        },
    }


def _cell0_conf(site: Site, _node: Node) -> Ini:
    return {"database": {"connection": site.database_url("nova", "nova_cell0")}}


def _cells(site: Site, _node: Node) -> str:
    """What `nova-manage cell_v2 map_cell0` and `create_cell` do, without a minute of their start-up time."""
    rows = [
        ("00000000-0000-0000-0000-000000000000", "cell0", "none:///", f"{_URL}/nova_cell0"),
        (CELL1_UUID, "cell1", f"{_URL}:{{port}}/", f"{_URL}/{{path}}"),
    ]
    values = ",\n  ".join("(NOW(), " + ", ".join(f"'{value}'" for value in row) + ", 0)" for row in rows)
    return f"""query_as nova "${{secret[nova_database_password]}}" {site.vip_name} nova_api "
INSERT INTO cell_mappings (created_at, uuid, name, transport_url, database_connection, disabled) VALUES
  {values}
ON DUPLICATE KEY UPDATE transport_url = VALUES(transport_url), database_connection = VALUES(database_connection)"
"""


CONFIGURATION = ConfigFile(path="/etc/nova/nova.conf", content=_nova_conf, group="nova", mode="0640")

NOVA = Service(
    name="nova",
    roles=(Role.CONTROLLER,),
    after=("network", "mariadb", "rabbitmq", "memcached", "haproxy", "keepalived", CATALOG),
    files=(
        CONFIGURATION,
        ConfigFile(path="/etc/nova/cell0.conf", content=_cell0_conf, group="nova", mode="0640"),
        ConfigFile(path="/root/nova-restart.sh", content=scripts.restart("nova"), mode="0755"),
    ),
    migrations=(
        Migration(database="nova_api", command="nova-manage api_db sync"),
        Migration(database="nova", command="nova-manage db sync --local_cell"),
        Migration(
            database="nova_cell0",
            command="nova-manage --config-file /etc/nova/nova.conf --config-file /etc/nova/cell0.conf"
            " db sync --local_cell",
        ),
    ),
    tasks=(Task(name="cells", script=_cells),),
    listeners=(
        Listener(name="nova-controller-node-api", port=API_PORT),
        Listener(name="nova-metadata", port=METADATA_PORT, clients=(Role.CONTROLLER,)),
        Listener(name="nova-novncproxy", port=CONSOLE_PORT, options=("timeout client 1h", "timeout server 1h")),
    ),
    endpoint=Endpoint(type="compute", description="OpenStack Compute", port=API_PORT, path="/v2.1"),
    has_user=True,
    reports_as=("nova-conductor", "nova-scheduler"),
)


def _virtualisation(_site: Site, _node: Node) -> str:
    """The processor decides, as in the guide (`egrep -c '(vmx|svm)' /proc/cpuinfo`)."""
    return """type=qemu
[ ! -e /dev/kvm ] || type=kvm
file /etc/nova/nova-compute.conf root:nova 0640 <<CONTENT
[DEFAULT]
compute_driver = libvirt.LibvirtDriver
[libvirt]
virt_type = $type
CONTENT
echo "virt_type $type"
"""


def _discover(site: Site, _node: Node) -> str:
    """Map the compute nodes to their cell, once all of them have reported; the scheduler does it every 300 s.

    A compute service reports once it is through with its start. An instance that it is given before, since the last
    report of its predecessor still counts, it puts into error.

    What `nova-manage cell_v2 discover_hosts` does (guide 4.7.2.2), without a minute of its start-up time.
    """
    hosts = [node.fqdn for node in COMPUTE.nodes(site.topology)]
    listed = ", ".join(f"'{host}'" for host in hosts)
    return f"""ask() {{ query_as nova "${{secret[nova_database_password]}}" {site.vip_name} nova "$1"; }}
since=$(ask "SELECT UTC_TIMESTAMP()")
all_reported() {{
  [ "$(ask "SELECT COUNT(*) FROM compute_nodes JOIN services USING (host)
      WHERE compute_nodes.deleted = 0 AND services.deleted = 0 AND topic = 'compute'
      AND last_seen_up > '$since' AND host IN ({listed})")" = {len(hosts)} ]
}}
wait_for 'the report of {", ".join(hosts)}' 900 all_reported
ask "
INSERT INTO nova_api.host_mappings (created_at, cell_id, host)
  SELECT NOW(), cell_mappings.id, compute_nodes.host FROM compute_nodes JOIN nova_api.cell_mappings
  WHERE compute_nodes.deleted = 0 AND compute_nodes.host IN ({listed}) AND cell_mappings.uuid = '{CELL1_UUID}'
ON DUPLICATE KEY UPDATE cell_id = VALUES(cell_id);
UPDATE compute_nodes SET mapped = 1 WHERE deleted = 0 AND host IN ({listed})"
"""


COMPUTE = Service(
    name="nova-compute",
    roles=(Role.COMPUTE,),
    after=("nova", "placement"),
    files=(
        CONFIGURATION,
        ConfigFile(path="/root/compute-node.sh", content=scripts.restart("nova-compute"), mode="0755"),
        ConfigFile(
            path="/root/neutron-node-restart.sh",
            content=scripts.restart("nova-compute", "neutron-linuxbridge", "neutron-openvswitch"),
            mode="0755",
        ),
    ),
    ports=(Port(protocol=Protocol.TCP, ports="5900-6899", clients=(Role.CONTROLLER,)),),
    reports_as=("nova-compute",),
    tasks=(
        Task(name="virtualisation", script=_virtualisation, once=False),
        Task(name="discover", script=_discover, when=When.AFTER_START, role=Role.CONTROLLER, seconds=1200),
    ),
)
