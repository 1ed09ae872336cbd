"""Neutron with one flat provider network (guide 4.7.3) over Linux bridges, or over Open vSwitch where these are gone.

A node that is controller and compute node has one neutron.conf, so what it holds follows from the node's roles.
"""

from components.services import keystone, scripts
from components.services.ini import Ini, merge
from components.services.model import ConfigFile, Endpoint, Listener, Migration, Service, Site, Task, When
from components.topology import Node, Role

PORT = 9696
PHYSICAL_NETWORK = "provider"
METADATA_SECRET = "neutron_metadata_secret"

UPLINK = "prov0"
"""The addressless end of a veth pair into the bridge that holds the node's address (docs/adr/0006)."""

_PROVIDER_BRIDGE = "br-provider"
_AGENT_DOWN_SECONDS = 180
_REPORT_SECONDS = 30


def _neutron_conf(site: Site, node: Node) -> Ini:
    common: Ini = {
        "DEFAULT": {
            "core_plugin": "ml2",
            "service_plugins": "",
            "transport_url": site.transport_url(),
            "auth_strategy": "keystone",
        },
        **keystone.authtoken(site, "neutron"),
        "agent": {
            # No root_helper_daemon: its client asks a hundred times a second whether the daemon lives.
            "root_helper": "sudo neutron-rootwrap /etc/neutron/rootwrap.conf",
            "report_interval": _REPORT_SECONDS,
        },
        "oslo_concurrency": {"lock_path": "/var/lib/neutron/tmp"},
    }
    return merge(common, _server(site, node) if Role.CONTROLLER in node.roles else {})


def _server(site: Site, node: Node) -> Ini:
    return {
        "DEFAULT": {
            "notify_nova_on_port_status_changes": True,
            "notify_nova_on_port_data_changes": True,
            "rpc_workers": site.workers(node),
            "rpc_state_report_workers": 0,
            "dhcp_agents_per_network": 1,
            "agent_down_time": _AGENT_DOWN_SECONDS,
        },
        "database": {"connection": site.database_url("neutron", "neutron")},
        "nova": keystone.login(site, "nova"),
    }


def _ml2_conf(_site: Site, _node: Node) -> Ini:
    return {
        "ml2": {
            "type_drivers": ["flat", "vlan"],
            "tenant_network_types": "",
            "mechanism_drivers": "linuxbridge",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": PHYSICAL_NETWORK},
        "securitygroup": {"enable_ipset": True},
    }


def _linuxbridge_agent(_site: Site, _node: Node) -> Ini:
    return {
        "linux_bridge": {"physical_interface_mappings": f"{PHYSICAL_NETWORK}:eth0"},
        "vxlan": {"enable_vxlan": False},
        "securitygroup": {
            "enable_security_group": True,
            "firewall_driver": "neutron.agent.linux.iptables_firewall.IptablesFirewallDriver",
        },
    }


def uplink(_site: Site, _node: Node) -> Ini:
    """The bridge agent's settings for releases that have the veth pair, which leave the host's own interface alone."""
    return {"linux_bridge": {"physical_interface_mappings": f"{PHYSICAL_NETWORK}:{UPLINK}"}}


def _openvswitch_agent(_site: Site, _node: Node) -> Ini:
    return {
        "ovs": {"bridge_mappings": f"{PHYSICAL_NETWORK}:{_PROVIDER_BRIDGE}"},
        "securitygroup": {"enable_security_group": True, "firewall_driver": "openvswitch"},
    }


def _provider_bridge(_site: Site, _node: Node) -> str:
    """Open vSwitch remembers all of it; agents and Nova ask its database at the manager's port."""
    return f"""ovs-vsctl --timeout=120 set-manager ptcp:6640:127.0.0.1 \\
  -- --may-exist add-br {_PROVIDER_BRIDGE} -- --may-exist add-port {_PROVIDER_BRIDGE} {UPLINK}
"""


def _bridge_sysctl(_site: Site, _node: Node) -> str:
    return "net.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\n"


def _dhcp_agent(_site: Site, _node: Node) -> Ini:
    return {
        "DEFAULT": {
            "interface_driver": "linuxbridge",
            "dhcp_driver": "neutron.agent.linux.dhcp.Dnsmasq",
            "enable_isolated_metadata": True,
            "force_metadata": True,
        }
    }


def _metadata_agent(site: Site, node: Node) -> Ini:
    return {
        "DEFAULT": {
            "nova_metadata_host": site.vip_name,
            "metadata_proxy_shared_secret": f"@{METADATA_SECRET}@",
            "metadata_workers": site.workers(node),
        }
    }


def _reported(binary: str, *roles: Role) -> Task:
    """Wait, where the database may be asked, until every agent has reported: a subnet made earlier gets no DHCP."""

    def script(site: Site, _node: Node) -> str:
        hosts = [node.fqdn for node in site.topology.having(*roles)]
        listed = ", ".join(f"'{host}'" for host in hosts)
        return f"""reported() {{
  [ "$(query_as neutron "${{secret[neutron_database_password]}}" {site.vip_name} neutron \\
    "SELECT COUNT(*) FROM agents WHERE agents.binary = '{binary}' AND host IN ({listed})
      AND heartbeat_timestamp > UTC_TIMESTAMP() - INTERVAL {_AGENT_DOWN_SECONDS // 2} SECOND")" = {len(hosts)} ]
}}
wait_for 'the report of {binary} on {", ".join(hosts)}' 900 reported
"""

    return Task(name="reported", script=script, when=When.AFTER_START, role=Role.CONTROLLER, seconds=1200)


_AGENTS = ("neutron-linuxbridge", "neutron-openvswitch", "neutron-dhcp", "neutron-metadata")
CONFIGURATION = ConfigFile(path="/etc/neutron/neutron.conf", content=_neutron_conf, group="neutron", mode="0640")

NEUTRON = Service(
    name="neutron",
    roles=(Role.CONTROLLER,),
    after=("network", "mariadb", "rabbitmq", "memcached", "haproxy", "keepalived", "keystone"),
    files=(
        CONFIGURATION,
        ConfigFile(path="/etc/neutron/plugins/ml2/ml2_conf.ini", content=_ml2_conf, group="neutron"),
        ConfigFile(
            path="/root/neutron-restart.sh",
            content=scripts.restart("nova", "neutron", *_AGENTS),
            mode="0755",
        ),
    ),
    migrations=(
        Migration(
            database="neutron",
            command="neutron-db-manage --config-file /etc/neutron/neutron.conf"
            " --config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade head",
        ),
    ),
    listeners=(Listener(name="neutron-api", port=PORT),),
    endpoint=Endpoint(type="network", description="OpenStack Networking", port=PORT),
    has_user=True,
)

LINUXBRIDGE = Service(
    name="neutron-linuxbridge",
    roles=(Role.CONTROLLER, Role.COMPUTE),
    after=("network", "neutron"),
    files=(
        CONFIGURATION,
        ConfigFile(path="/etc/neutron/plugins/ml2/linuxbridge_agent.ini", content=_linuxbridge_agent, group="neutron"),
        ConfigFile(path="/etc/modules-load.d/br_netfilter.conf", content=lambda _site, _node: "br_netfilter\n"),
        ConfigFile(path="/etc/sysctl.d/openstack.conf", content=_bridge_sysctl),
    ),
    reports_as=("neutron-linuxbridge-agent",),
    tasks=(_reported("neutron-linuxbridge-agent", Role.CONTROLLER, Role.COMPUTE),),
    check=lambda _site, _node: "modprobe br_netfilter\nsysctl -qp /etc/sysctl.d/openstack.conf",
)

OPENVSWITCH = Service(
    name="openvswitch",
    roles=(Role.CONTROLLER, Role.COMPUTE),
    after=("network",),
    tasks=(Task(name="bridge", script=_provider_bridge, when=When.AFTER_START, once=False),),
)
"""Apart from its agent, whose restarts leave the instances' traffic alone."""

OPENVSWITCH_AGENT = Service(
    name="neutron-openvswitch",
    roles=(Role.CONTROLLER, Role.COMPUTE),
    after=("openvswitch", "neutron"),
    files=(
        CONFIGURATION,
        ConfigFile(path="/etc/neutron/plugins/ml2/openvswitch_agent.ini", content=_openvswitch_agent, group="neutron"),
    ),
    reports_as=("neutron-openvswitch-agent",),
    tasks=(_reported("neutron-openvswitch-agent", Role.CONTROLLER, Role.COMPUTE),),
)

DHCP = Service(
    name="neutron-dhcp",
    roles=(Role.CONTROLLER,),
    after=("neutron", "neutron-linuxbridge", "neutron-openvswitch"),
    files=(CONFIGURATION, ConfigFile(path="/etc/neutron/dhcp_agent.ini", content=_dhcp_agent, group="neutron")),
    reports_as=("neutron-dhcp-agent",),
    tasks=(_reported("neutron-dhcp-agent", Role.CONTROLLER),),
)

METADATA = Service(
    name="neutron-metadata",
    roles=(Role.CONTROLLER,),
    after=("neutron",),
    files=(
        CONFIGURATION,
        ConfigFile(path="/etc/neutron/metadata_agent.ini", content=_metadata_agent, group="neutron", mode="0640"),
    ),
    reports_as=("neutron-metadata-agent",),
    tasks=(_reported("neutron-metadata-agent", Role.CONTROLLER),),
)
