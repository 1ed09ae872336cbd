"""`make status`: nodes, services and endpoints at a glance, from libvirt, HAProxy and the APIs; logs in nowhere."""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http.client import HTTPException

from rich.table import Table
from rich.text import Text

from components.config import Config
from components.services import firewall, haproxy
from tools import stack_values
from tools.hypervisor.virsh import virsh
from tools.verify import ask, web
from tools.verify.model import UnansweredError
from tools.verify.report import console

SECONDS = 2.5
"""Limit of a connection."""

_STATES = {True: "", False: " (down)", None: " (unknown)"}


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
    """A service's port: by node, whether HAProxy finds the service up there; None if HAProxy does not say."""

    service: str
    port: int
    nodes: dict[str, bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """An API through the virtual address: the HTTP status of its version document, or why there is none."""

    service: str
    url: str
    ok: bool
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything at a glance; `vip_answers` tells whether HAProxy gives its statistics."""

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
    status = look(stack_values.complete(arguments.stack))
    if arguments.json:
        print(json.dumps(asdict(status), indent=2))
    else:
        show(status)
    return 0


def look(config: Config) -> Status:
    """Ask everything at once: libvirt for the machines, HAProxy for the services."""
    site, topology = config.site, config.site.topology
    with ThreadPoolExecutor(max_workers=64) as pool:
        states = pool.submit(machine_states, config.hypervisor.uri)
        password = config.secrets.value("haproxy_stats_password")
        servers = pool.submit(ask.statistics, haproxy.statistics_url(site), password, SECONDS)
        logins = {
            node: pool.submit(web.connects, str(node.address), firewall.SSH_PORT, seconds=SECONDS)
            for node in topology.nodes
        }
        endpoints = [
            pool.submit(endpoint_status, service.name, site.url(service.endpoint))
            for service in site.catalogue
            if service.endpoint
        ]
    try:
        up = {(server.listener, server.name): server.status.startswith("UP") for server in servers.result()}
    except UnansweredError:
        up = None
    return Status(
        vip=str(topology.vip),
        vip_answers=up is not None,
        nodes=tuple(
            NodeStatus(
                name=node.name,
                state=states.result().get(node.machine, "missing"),
                ssh=logins[node].result(),
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
                nodes={
                    node.name: None if up is None else up.get((listener.section, str(node.address)), False)
                    for node in listener.servers(service.nodes(topology))
                },
            )
            for service, listener in site.listeners()
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
        places = [_mark(f"{name}{_STATES[up]}", ok=bool(up)) for name, up in listener.nodes.items()]
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
