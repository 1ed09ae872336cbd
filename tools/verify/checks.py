"""What has to be right about a running lab: each check makes findings out of the answers. Pure.

A service, endpoint or listener that joins the catalogue is covered by them as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from components.cloud.identity import INTERFACES
from components.config import Config
from components.services import glance, haproxy, infrastructure, keystone
from components.services.model import Endpoint, Listener, Service, Site
from components.topology import Node, Role
from tools.verify.model import Answers, Finding, NodeReport, Row, UnansweredError

CLOCK_OFFSET = 1.0
"""Seconds that a clock may be off."""

ANSWERING = range(200, 500)
"""HTTP statuses by which a service itself answers, whatever it says."""


def rows(config: Config, answers: Answers) -> list[Row]:
    """Every check's findings, in the order of CHECKS."""
    return [
        Row(check=name, subject=finding.subject, ok=finding.ok, detail=finding.detail, hint=finding.hint)
        for name, check in CHECKS.items()
        for finding in check(config, answers)
    ]


def _nodes(config: Config, answers: Answers) -> Iterator[Finding]:
    for node in config.site.topology.nodes:
        report = answers.nodes[node.name]
        yield _finding(
            node.name,
            [str(report)] if isinstance(report, UnansweredError) else [],
            right=f"{node.fqdn} lets the operator in at {node.address}",
            hint=f"make status; virsh console {node.machine}",
        )


def _clocks(config: Config, answers: Answers) -> Iterator[Finding]:
    for node in config.site.topology.nodes:
        report = answers.nodes[node.name]
        clock = report if isinstance(report, UnansweredError) else report.clock
        faults, right = [], ""
        if isinstance(clock, UnansweredError):
            faults = [_not_reached(node) if clock is report else str(clock)]
        else:
            right = f"{clock.offset:+.6f} s, stratum {clock.stratum}, from {clock.source or 'its own clock'}"
            if clock.leap != "Normal":
                faults.append(f"{clock.leap.lower()}: {right}")
            elif abs(clock.offset) >= CLOCK_OFFSET:
                faults.append(f"off by more than {CLOCK_OFFSET:g} s: {right}")
        yield _finding(node.name, faults, right=right, hint=_look(config.site, infrastructure.TIME, [node]))


def _units(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    for service in site.catalogue:
        nodes, units = service.nodes(site.topology), site.packaging(service).units
        if not nodes or not units:
            continue
        faults = {node: list(_unit_faults(node, units, answers.nodes[node.name])) for node in nodes}
        faulty = [node for node in nodes if faults[node]]
        yield _finding(
            service.name,
            [fault for node in faulty for fault in faults[node]],
            right=f"{', '.join(units)} on {_names(nodes)}",
            hint=_look(site, service, faulty),
        )


def _unit_faults(node: Node, units: Iterable[str], report: NodeReport | UnansweredError) -> Iterator[str]:
    if isinstance(report, UnansweredError):
        yield _not_reached(node)
        return
    for unit in units:
        state = report.units[unit]
        if state.active != "active":
            yield f"{node.name}: {unit} is {state.active} ({state.sub})"
        if state.enabled != "enabled":
            yield f"{node.name}: {unit} does not start at boot ({state.enabled or 'not installed'})"


def _virtual_address(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    balancers = site.topology.having(Role.LOADBALANCER)
    reports = {
        node: report
        for node in site.topology.nodes
        if not isinstance(report := answers.nodes[node.name], UnansweredError)
    }
    holders = [node for node, report in reports.items() if report.holds_vip]
    faults = [] if len(holders) == 1 else [f"held by {_names(holders) or 'no node'}, not by exactly one"]
    faults += [_not_reached(node) for node in balancers if node not in reports]
    yield _finding(
        str(site.topology.vip),
        faults,
        right=f"held by {_names(holders)}",
        hint=_look(site, haproxy.KEEPALIVED, balancers),
    )


def _servers(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    if isinstance(answers.servers, UnansweredError):
        balancers = site.topology.having(Role.LOADBALANCER)
        yield _finding(
            haproxy.HAPROXY.name, [str(answers.servers)], right="", hint=_look(site, haproxy.HAPROXY, balancers)
        )
        return
    states = {(server.listener, server.name): server for server in answers.servers}
    for service, listener in _listeners(site):
        section = f"{listener.name}-{listener.port}"
        nodes = service.nodes(site.topology)[: 1 if listener.single else None]
        faults = {}
        for node in nodes:
            server = states.get((section, str(node.address)))
            if server is None:
                faults[node] = f"{node.name}: HAProxy has no such server"
            elif not server.status.startswith("UP"):
                faults[node] = f"{node.name}: {server.status} for {server.seconds} s ({server.check})"
        yield _finding(
            section, list(faults.values()), right=f"{_names(nodes)} UP", hint=_look(site, service, list(faults))
        )


def _endpoints(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    for service, endpoint in _with_endpoint(site):
        url, answer = site.url(endpoint), answers.endpoints[service.name]
        faults, right = [], ""
        if isinstance(answer, UnansweredError):
            faults.append(str(answer))
        else:
            right = f"HTTP {answer.status} in {answer.seconds:.1f} s from {url}"
            if answer.status not in ANSWERING:
                faults.append(right)
        yield _finding(service.name, faults, right=right, hint=_look(site, service, service.nodes(site.topology)))


def _tokens(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    for user, login in answers.logins.items():
        faults, right = [], ""
        if isinstance(login, UnansweredError):
            faults.append(str(login))
        else:
            right = f"in project {login.project} as {', '.join(login.roles)}"
        yield _finding(
            user, faults, right=right, hint=_look(site, keystone.KEYSTONE, keystone.KEYSTONE.nodes(site.topology))
        )


def _catalog(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    login = next((each for each in answers.logins.values() if not isinstance(each, UnansweredError)), None)
    for service, endpoint in _with_endpoint(site):
        url = site.url(endpoint)
        urls = _urls(login.catalog, endpoint.type, site.region) if login else {}
        if login is None:
            faults = ["no token, so no catalog"]
        elif not urls:
            faults = [f"no service of type {endpoint.type} in region {site.region}"]
        else:
            faults = [
                f"{interface} is {', '.join(sorted(urls.get(interface, {'missing'})))}, not {url}"
                for interface in INTERFACES
                if urls.get(interface) != {url}
            ]
        yield _finding(
            service.name,
            faults,
            right=f"{', '.join(INTERFACES)}: {url}",
            hint="" if login is None else "`pulumi up --refresh` puts it right",
        )


def _image(config: Config, answers: Answers) -> Iterator[Finding]:
    site, found = config.site, answers.image
    hint = _look(site, glance.GLANCE, glance.GLANCE.nodes(site.topology))
    if isinstance(found, UnansweredError):
        yield _finding(config.image_name, [str(found)], right="", hint=hint)
        return
    faults = [] if found.status == "active" else [f"{found.status}, not active"]
    if found.sha256 is not None and found.sha256 != answers.image_sha256:
        faults.append(f"Glance delivers other bytes (sha256 {found.sha256:.12}…) than {config.hypervisor.image} has")
    right = f"public, active, {found.size / 1024**2:.1f} MiB, downloaded: sha256 {answers.image_sha256:.12}… is right"
    yield _finding(config.image_name, faults, right=right, hint=hint)


def _finding(subject: str, faults: list[str], *, right: str, hint: str) -> Finding:
    if faults:
        return Finding(subject=subject, ok=False, detail="; ".join(faults), hint=hint)
    return Finding(subject=subject, ok=True, detail=right)


def _look(site: Site, service: Service, nodes: Iterable[Node]) -> str:
    """Where to look when a service of these nodes is at fault."""
    packaging = site.packaging(service)
    places = [*(f"journalctl -u {unit}" for unit in packaging.units), *packaging.logs]
    return f"on {_names(nodes)}: {', '.join(places)}"


def _names(nodes: Iterable[Node]) -> str:
    return ", ".join(node.name for node in nodes)


def _not_reached(node: Node) -> str:
    return f"{node.name}: not reached by SSH"


def _with_endpoint(site: Site) -> Iterator[tuple[Service, Endpoint]]:
    return ((service, service.endpoint) for service in site.catalogue if service.endpoint)


def _listeners(site: Site) -> Iterator[tuple[Service, Listener]]:
    """The listeners that HAProxy has: those of services that have nodes."""
    return (
        (service, listener)
        for service in site.catalogue
        if service.nodes(site.topology)
        for listener in service.listeners
    )


def _urls(catalog: Iterable[Mapping[str, Any]], kind: str, region: str) -> dict[str, set[str]]:
    """The URLs of a type of service, by interface."""
    urls: dict[str, set[str]] = {}
    for entry in catalog:
        if entry["type"] == kind:
            for endpoint in entry["endpoints"]:
                if endpoint["region"] == region:
                    urls.setdefault(endpoint["interface"], set()).add(endpoint["url"])
    return urls


CHECKS: Mapping[str, Callable[[Config, Answers], Iterable[Finding]]] = {
    "node": _nodes,
    "time": _clocks,
    "units": _units,
    "VIP": _virtual_address,
    "HAProxy": _servers,
    "endpoint": _endpoints,
    "token": _tokens,
    "catalog": _catalog,
    "image": _image,
}
