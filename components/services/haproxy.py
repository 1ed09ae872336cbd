"""HAProxy with a listener for everything in the catalogue, keepalived with the virtual address (guide 4.3 to 4.7)."""

from components.services.model import ConfigFile, Listener, Port, Protocol, Service, Site
from components.topology import Node, Role

STATS_PORT = 9999
STATS_PATH = "/haproxy"
STATS_USER = "haadmin"

_CHECK = "inter 10s fastinter 2s downinter 2s fall 2 rise 2"
"""The guide's `rise 5` keeps a service out for 15 s after it came up, and its `inter 3s` keeps an emulated processor
busy: HAProxy and what it asks took a tenth of one."""

_DEFAULTS = """defaults
  log global
  mode tcp
  option dontlognull
  option redispatch
  retries 3
  timeout connect 10s
  timeout client 10m
  timeout server 10m
  timeout check 10s
"""


def _haproxy_cfg(site: Site, _node: Node) -> str:
    process = f"""global
  log /dev/log local0
  maxconn 8192
  user haproxy
  group haproxy
  stats socket {site.fact("haproxy", "socket")} mode 660 level admin
"""
    stats = f"""listen stats
  bind {site.topology.vip}:{STATS_PORT}
  mode http
  stats enable
  stats uri {STATS_PATH}
  stats realm HAProxy
  stats auth {STATS_USER}:@haproxy_stats_password@
"""
    listeners = [_listen(site, listener, service.nodes(site.topology)) for service, listener in site.listeners()]
    return "\n".join([process, _DEFAULTS, stats, *listeners])


def _listen(site: Site, listener: Listener, nodes: tuple[Node, ...]) -> str:
    port = listener.port
    lines = [
        f"listen {listener.section}",
        f"bind {site.topology.vip}:{port}",
        f"mode {listener.mode}",
        *listener.options,
        *(("cookie SERVER insert indirect nocache",) if listener.sticky else ()),
        *(
            f"server {node.address} {node.address}:{port} check port {port} {_CHECK}"
            + (f" cookie {node.name}" if listener.sticky else "")
            for node in listener.servers(nodes)
        ),
    ]
    return "\n  ".join(lines) + "\n"


def statistics_url(site: Site) -> str:
    """The statistics page through the virtual address."""
    return f"http://{site.vip_name}:{STATS_PORT}{STATS_PATH}"


def _sysctl(_site: Site, _node: Node) -> str:
    return "net.ipv4.ip_nonlocal_bind = 1\n"


HAPROXY = Service(
    name="haproxy",
    roles=(Role.LOADBALANCER,),
    reloads=True,
    files=(
        ConfigFile(path="/etc/haproxy/haproxy.cfg", content=_haproxy_cfg, group="haproxy", mode="0640"),
        ConfigFile(path="/etc/sysctl.d/60-nonlocal-bind.conf", content=_sysctl),
    ),
    check=lambda _site, _node: (
        "sysctl -qp /etc/sysctl.d/60-nonlocal-bind.conf\nhaproxy -c -q -f /etc/haproxy/haproxy.cfg"
    ),
)


_RANK, _DEAD = 10, 50
"""Priority that each load balancer has less than the one before it, and that one loses whose HAProxy is not running:
then the next has more, and where all are dead, or there is only one, the first keeps the address."""


def _keepalived_conf(site: Site, node: Node) -> str:
    balancers = site.topology.having(Role.LOADBALANCER)
    rank = balancers.index(node)
    return f"""global_defs {{
  router_id {node.machine}
  script_user root
  enable_script_security
}}

vrrp_script haproxy {{
  script "{site.fact("keepalived", "pidof")} haproxy"
  interval 5
  fall 2
  rise 2
  weight -{_DEAD}
}}

vrrp_instance VI_1 {{
  state {"BACKUP" if rank else "MASTER"}
  interface {site.release.interface}
  virtual_router_id 80
  priority {100 - _RANK * rank}
  advert_int 1
  authentication {{
    auth_type PASS
    auth_pass @keepalived_vrrp@
  }}
  virtual_ipaddress {{
    {site.topology.provider.interface(site.topology.vip)} dev {site.release.interface}
  }}
  track_script {{
    haproxy
  }}
}}
"""


def _holds_vip(site: Site, node: Node) -> str:
    """The first load balancer starts as the master; the others come second."""
    if node != site.topology.having(Role.LOADBALANCER)[0]:
        return "true"
    address = site.topology.vip
    return f"wait_for 'address {address}' 120 sh -c 'ip -4 -o addr show to {address} | grep -q .'"


KEEPALIVED = Service(
    name="keepalived",
    roles=(Role.LOADBALANCER,),
    after=("network", "haproxy"),
    reloads=True,
    files=(ConfigFile(path="/etc/keepalived/keepalived.conf", content=_keepalived_conf, mode="0600"),),
    ports=(Port(protocol=Protocol.VRRP, clients=(Role.LOADBALANCER,)),),
    ready=_holds_vip,
)
