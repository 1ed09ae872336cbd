"""What each node takes in: the catalogue's ports, each from those who use it, and nothing else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from components.services.haproxy import STATS_PORT
from components.services.model import EVERY_ROLE, Protocol, Service, Site
from components.topology import Node, Role

SSH_PORT = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A way into a node: to one of its addresses or to all, from some addresses or from everybody.

    `ports` is one, a range such as "5900-6899", or empty where the protocol has none.
    """

    of: str
    to: IPv4Address | None
    protocol: Protocol
    ports: str
    sources: tuple[IPv4Address, ...] | None


def openings(site: Site, node: Node) -> Iterator[Opening]:
    """The ways into a node from outside of it. Services' ports take in load balancers, which take in all others."""
    topology = site.topology
    balancers = _addresses(topology.having(Role.LOADBALANCER))
    for network, address in ((topology.provider, node.address), (topology.internal, node.internal_address)):
        yield _tcp("ssh", address, SSH_PORT, (network.gateway,))
    for service in site.services(node):
        for listener in service.listeners:
            yield _tcp(listener.name, node.address, listener.port, balancers)
        for port in (*service.ports, *site.packaging(service).ports):
            if port.role is None or port.role in node.roles:
                yield Opening(
                    of=service.name,
                    to=None,
                    protocol=port.protocol,
                    ports=port.ports,
                    sources=_addresses(topology.having(*port.clients)),
                )
    if Role.LOADBALANCER in node.roles:
        yield _tcp("statistics", topology.vip, STATS_PORT, (topology.provider.gateway,))
        for _, listener in site.listeners():
            users = _addresses(topology.having(*listener.clients)) if listener.clients else None
            yield _tcp(listener.name, topology.vip, listener.port, users)


def _tcp(of: str, to: IPv4Address, port: int, sources: tuple[IPv4Address, ...] | None) -> Opening:
    return Opening(of=of, to=to, protocol=Protocol.TCP, ports=str(port), sources=sources)


def _addresses(nodes: Iterable[Node]) -> tuple[IPv4Address, ...]:
    return tuple(node.address for node in nodes)


def nftables(site: Site, node: Node) -> str:
    """The openings as a file of nftables."""
    rules = "\n".join(f"    {_rule(opening)}" for opening in openings(site, node))
    return f"""#!/usr/sbin/nft -f
# Tables of others, such as Neutron's, are not touched.
table inet openstack-lab
delete table inet openstack-lab

table inet openstack-lab {{
  chain input {{
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
{rules}
    meta l4proto tcp reject with tcp reset
  }}
}}
"""


def _rule(opening: Opening) -> str:
    to = [f"ip daddr {opening.to}"] if opening.to else []
    sources = [f"ip saddr {{ {', '.join(map(str, opening.sources))} }}"] if opening.sources is not None else []
    what = f"{opening.protocol} dport {opening.ports}" if opening.ports else f"meta l4proto {opening.protocol}"
    return " ".join([*to, *sources, what, f'accept comment "{opening.of}"'])


def rich_rules(site: Site, node: Node) -> str:
    """The openings as rich rules of firewalld, one a line, each as firewalld itself prints it."""
    return "".join(
        f"# {opening.of}\n" + "".join(f"{rule}\n" for rule in _rich(opening)) for opening in openings(site, node)
    )


def _rich(opening: Opening) -> Iterator[str]:
    to = [f'destination address="{opening.to}"'] if opening.to else []
    what = (
        f'port port="{opening.ports}" protocol="{opening.protocol}"'
        if opening.ports
        else f'protocol value="{opening.protocol}"'
    )
    for source in opening.sources if opening.sources is not None else (None,):
        origin = [f'source address="{source}"'] if source else []
        yield " ".join(['rule family="ipv4"', *origin, *to, what, "accept"])


FIREWALL = Service(name="firewall", roles=EVERY_ROLE)
"""Instances are in the nodes' network, and the guide trusts them all: it has no firewall. The program is the
release's."""
