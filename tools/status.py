"""`make status`: nodes, services and endpoints at a glance. Asks libvirt and opens connections; logs in nowhere."""

import argparse
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http.client import HTTPException

from rich.table import Table
from rich.text import Text

from components.services import haproxy
from components.services.model import Site
from components.topology import Node
from tools import stack_values
from tools.hypervisor.virsh import virsh
from tools.verify import web
from tools.verify.report import console

SECONDS = 2.5
"""Limit of a connection."""

SSH_PORT = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A node and its machine: libvirt's `state`, and whether it takes SSH connections. Memory in MiB."""

    name: str
    state: str
    ssh: bool
    address: str
    roles: tuple[str, ...]
    vcpus: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerStatus:
    """A service's port: which of its nodes take connections there."""

    service: str
    port: int
    nodes: dict[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """An API through the virtual address: the HTTP status of its version document, or why there is none."""

    service: str
    url: str
    ok: bool
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything at a glance; `vip_answers` tells whether HAProxy's statistics page can be connected to."""

    vip: str
    vip_answers: bool
    nodes: tuple[NodeStatus, ...]
    listeners: tuple[ListenerStatus, ...]
    endpoints: tuple[EndpointStatus, ...]


def main(argv: Sequence[str]) -> int:
    """Print the status as tables, or JSON. It informs and judges nothing: 0 whatever it is."""
    parser = argparse.ArgumentParser(prog="status", description="nodes, services and endpoints at a glance")
    parser.add_argument("--stack", default="lab", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    arguments = parser.parse_args(argv)
    config = stack_values.outline(arguments.stack)
    status = look(config.site, config.hypervisor.uri)
    if arguments.json:
        print(json.dumps(asdict(status), indent=2))
    else:
        show(status)
    return 0


def look(site: Site, uri: str) -> Status:
    """Ask everything at once: libvirt at `uri` for the machines, the network for the rest."""
    topology = site.topology
    vip = str(topology.vip)
    with ThreadPoolExecutor(max_workers=64) as pool:
        states = pool.submit(machine_states, uri)
        vip_answers = pool.submit(web.connects, vip, haproxy.STATS_PORT, seconds=SECONDS)
        ports = {
            (node.address, port): pool.submit(web.connects, str(node.address), port, seconds=SECONDS)
            for node in topology.nodes
            for port in (SSH_PORT, *_ports(site, node))
        }
        endpoints = [
            pool.submit(endpoint_status, service.name, site.url(service.endpoint))
            for service in site.catalogue
            if service.endpoint
        ]
    return Status(
        vip=vip,
        vip_answers=vip_answers.result(),
        nodes=tuple(
            NodeStatus(
                name=node.name,
                state=states.result().get(node.machine, "missing"),
                ssh=ports[node.address, SSH_PORT].result(),
                address=str(node.address),
                roles=tuple(sorted(node.roles)),
                vcpus=node.vcpus,
                memory=node.memory,
            )
            for node in topology.nodes
        ),
        listeners=tuple(
            ListenerStatus(
                service=service.name,
                port=listener.port,
                nodes={node.name: ports[node.address, listener.port].result() for node in service.nodes(topology)},
            )
            for service in site.catalogue
            for listener in service.listeners
        ),
        endpoints=tuple(endpoint.result() for endpoint in endpoints),
    )


def machine_states(uri: str) -> dict[str, str]:
    """Libvirt's domains and their states, such as "running" and "shut off"."""
    lines = (line.split(maxsplit=2) for line in virsh(uri, "list", "--all").splitlines())
    return {fields[1]: fields[2].strip() for fields in lines if len(fields) == 3}


def endpoint_status(service: str, url: str) -> EndpointStatus:
    """Get the version document."""
    try:
        status, _ = web.get(url, seconds=SECONDS)
    except (OSError, HTTPException) as error:
        return EndpointStatus(service=service, url=url, ok=False, answer=str(error))
    return EndpointStatus(service=service, url=url, ok=status < 500, answer=f"HTTP {status}")


def _ports(site: Site, node: Node) -> Iterable[int]:
    return (
        listener.port
        for service in site.catalogue
        if node in service.nodes(site.topology)
        for listener in service.listeners
    )


def show(status: Status) -> None:
    """Print the tables."""
    nodes = Table("node", "machine", "SSH", "address", "roles", "vCPUs", "memory", title="Nodes", title_justify="left")
    for node in status.nodes:
        nodes.add_row(
            node.name,
            _mark(node.state, ok=node.state == "running"),
            _mark("yes" if node.ssh else "no", ok=node.ssh),
            node.address,
            ", ".join(node.roles),
            str(node.vcpus),
            f"{node.memory} MiB",
        )
    services = Table("service", "port", "on", title="Services", title_justify="left")
    for listener in status.listeners:
        places = [_mark(name if up else f"{name} (down)", ok=up) for name, up in listener.nodes.items()]
        services.add_row(listener.service, str(listener.port), Text(", ").join(places))
    services.add_row(
        "VIP",
        str(haproxy.STATS_PORT),
        _mark(status.vip if status.vip_answers else f"{status.vip} (down)", ok=status.vip_answers),
    )
    endpoints = Table("endpoint", "answer", "URL", title="Endpoints", title_justify="left")
    for endpoint in status.endpoints:
        endpoints.add_row(endpoint.service, _mark(endpoint.answer, ok=endpoint.ok), endpoint.url)
    console().print(nodes, services, endpoints)


def _mark(text: str, *, ok: bool) -> Text:
    return Text(text, "green" if ok else "bold red")
