"""Run inside a lab's shell: `listening STACK ADDRESS` connects to each port that any process of a node listens at.

It does so from this machine, over both networks, from the tenant's instance at ADDRESS, and from every node to all
others. Prints JSON, by where from: what is `open`, and what the catalogue `names`.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address

import asyncssh

from components.cloud import clients
from components.config import Config
from components.services import firewall
from components.services.model import Protocol
from components.topology import Node, Role
from tools import paths, stack_values
from tools.verify import instance, nodes, web

SECONDS = 5
AT_ONCE = 64

Place = tuple[IPv4Address, int]


def main() -> None:
    """Try all of it."""
    stack, address = sys.argv[1], IPv4Address(sys.argv[2])
    config = stack_values.complete(stack)
    topology = config.site.topology
    listened = {node: listening(config, node) for node in topology.nodes}
    openings = {node: list(named(config, node, listened[node])) for node in topology.nodes}
    places = sorted(
        {
            (to, port)
            for node in topology.nodes
            for to in addresses(config, node)
            for port in listened[node] | {port for (_, port), _ in openings[node]}
        }
    )
    outside = [place for place in places if place[0] in topology.provider.cidr]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        connected = pool.map(lambda place: web.connects(str(place[0]), place[1], seconds=SECONDS), places)
        from_host = {place for place, taken in zip(places, connected, strict=True) if taken}
    key = paths.CLIENTS / stack / clients.KEY_FILE
    from_instance = set(try_from_instance(address, asyncssh.read_private_key(key), outside))
    own = {node: set(addresses(config, node)) for node in topology.nodes}
    from_nodes = {
        node: set(try_from_node(config, node, [place for place in places if place[0] not in own[node]]))
        for node in topology.nodes
    }

    def open_to(*sources: IPv4Address) -> set[Place]:
        """What the catalogue opens to any of the sources."""
        return {
            place
            for opening in openings.values()
            for place, allowed in opening
            if allowed is None or not set(sources).isdisjoint(allowed)
        }

    hosts = {network.gateway for network in (topology.provider, topology.internal)}
    print(
        json.dumps(
            {
                "tried": len(places),
                "host": {"open": words(from_host), "names": words(open_to(*hosts))},
                "instance": {"open": words(from_instance), "names": words(open_to(address))},
                **{
                    node.name: {
                        "open": words(taken),
                        "names": words(
                            place for place in open_to(node.address, node.internal_address) if place[0] not in own[node]
                        ),
                    }
                    for node, taken in from_nodes.items()
                },
            }
        )
    )


def listening(config: Config, node: Node) -> set[int]:
    """The TCP ports of all processes of a node, whatever address they listen at."""
    said = nodes.run(node, "ss --no-header --listening --tcp --numeric", config.secrets, seconds=120)
    return {int(line.split()[3].rpartition(":")[2]) for line in said.splitlines()}


def addresses(config: Config, node: Node) -> Iterator[IPv4Address]:
    """The addresses of a node, the virtual one among them where it may be."""
    yield from (node.address, node.internal_address)
    if Role.LOADBALANCER in node.roles:
        yield config.site.topology.vip


def named(config: Config, node: Node, listened: set[int]) -> Iterator[tuple[Place, tuple[IPv4Address, ...] | None]]:
    """What the catalogue opens on a node, and to whom; None: to anybody. Of a range, what is listened at."""
    for each in firewall.openings(config.site, node):
        if each.protocol is Protocol.TCP:
            for port in numbers(each.ports):
                if each.to or port in listened:
                    yield (each.to or node.address, port), each.sources


def numbers(ports: str) -> range:
    """One port, or a range such as "5900-6899"."""
    first, _, last = ports.partition("-")
    return range(int(first), int(last or first) + 1)


def try_from_instance(address: IPv4Address, key: asyncssh.SSHKey, places: list[Place]) -> Iterator[Place]:
    """Those of the places that take a connection from the instance."""
    words = " ".join(f"{to}:{port}" for to, port in places)
    script = (
        f"for each in {words}; do nc -w {SECONDS} ${{each%:*}} ${{each#*:}} </dev/null >/dev/null && echo $each; done"
    )
    said = instance.run_on_guest(str(address), key, f"({script}) 2>/dev/null; echo end", seconds=900)
    assert said.endswith("end\n"), said
    for line in said.split()[:-1]:
        to, _, port = line.partition(":")
        yield IPv4Address(to), int(port)


def try_from_node(config: Config, node: Node, places: list[Place]) -> Iterator[Place]:
    """Those of the places that take a connection from a node."""
    each = "timeout {0} bash -c ': </dev/tcp/{1}/{2}' 2>/dev/null && echo {1}:{2} &"
    script = "\n".join([*(each.format(SECONDS, to, port) for to, port in places), "wait; echo end"])
    said = nodes.run(node, script, config.secrets, seconds=300).split()
    assert said[-1] == "end", said
    for line in said[:-1]:
        to, _, port = line.partition(":")
        yield IPv4Address(to), int(port)


def words(places: Iterable[Place]) -> list[str]:
    """As text, in order."""
    return [f"{to}:{port}" for to, port in sorted(places)]


if __name__ == "__main__":
    main()
