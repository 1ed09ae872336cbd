"""What has to be right about a running lab: each check makes findings out of the answers. Pure.

A service, endpoint or listener that joins the catalogue is covered by them as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from components.config import Config
from components.services import firewall, glance, haproxy, infrastructure, keystone
from components.services.model import INTERFACES, START, Endpoint, Service, Site
from components.topology import Node, Role
from tools.verify import cloud_checks, drift
from tools.verify.model import Answers, Clock, Finding, NodeReport, Row, UnansweredError
from tools.verify.nodes import units_of
from tools.verify.places import look, names, why

FREE = 256
"""MiB that a disk has left at least. RabbitMQ takes in nothing more below 50."""

MAKE_ROOM = "du --one-file-system --block-size=1M / | sort -n | tail"
"""Where to look when a disk is full."""

CLOCK_OFFSET = 1.0
"""Seconds that a clock may be off."""

VERSIONS = (200, 300)
"""HTTP statuses of a version document: of one version, or of a choice of several."""


def rows(config: Config, answers: Answers) -> list[Row]:
    """Every check's findings, in the order of CHECKS."""
    return [row for name, check in CHECKS.items() for row in named(name, check(config, answers))]


def named(check: str, findings: Iterable[Finding]) -> list[Row]:
    """Findings under their check's name."""
    return [
        Row(
            check=check,
            subject=finding.subject,
            ok=finding.ok,
            detail=finding.detail,
            hint="" if finding.ok else finding.hint,
            repairs=() if finding.ok else finding.repairs,
            lasts=finding.lasts and not finding.ok,
        )
        for finding in findings
    ]


def _nodes(config: Config, answers: Answers) -> Iterator[Finding]:
    for node in config.site.topology.nodes:
        report = answers.nodes[node.name]
        ok = not isinstance(report, UnansweredError)
        detail = f"{node.fqdn} lets the operator in at {node.address}" if ok else str(report)
        yield Finding(subject=node.name, ok=ok, detail=detail, hint=f"make status; virsh console {node.machine}")


def _disks(config: Config, answers: Answers) -> Iterator[Finding]:
    for node, report in drift.answering(config, answers):
        detail = f"{report.free:,} MiB free" + ("" if report.free >= FREE else f", fewer than {FREE}")
        yield Finding(
            subject=node.name, ok=report.free >= FREE, detail=detail, hint=f"on {node.name}: {MAKE_ROOM}", lasts=True
        )


def _clocks(config: Config, answers: Answers) -> Iterator[Finding]:
    for node in config.site.topology.nodes:
        report = answers.nodes[node.name]
        clock = _not_reached(node) if isinstance(report, UnansweredError) else report.clock
        if isinstance(clock, Clock):
            ok = clock.leap == "Normal" and abs(clock.offset) < CLOCK_OFFSET
            source = clock.source or "its own clock"
            detail = f"off by {clock.offset:+.6f} s, stratum {clock.stratum}, from {source}, leap status {clock.leap}"
        else:
            ok, detail = False, str(clock)
        yield Finding(subject=node.name, ok=ok, detail=detail, hint=look(config.site, infrastructure.TIME, [node]))


def _units(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    for service in site.catalogue:
        nodes, units = service.nodes(site.topology), site.packaging(service).units
        yield from _strays(config, service, answers)
        if not nodes or not units:
            continue
        faults = {node: list(_unit_faults(node, units, answers.nodes[node.name])) for node in nodes}
        faulty = [node for node in nodes if faults[node]]
        detail = (
            "; ".join(fault for node in faulty for fault in faults[node]) or f"{', '.join(units)} on {names(nodes)}"
        )
        yield Finding(
            subject=service.name,
            ok=not faulty,
            detail=detail,
            hint=look(site, service, faulty),
            repairs=tuple(service.step(START, node) for node in faulty),
        )


def _strays(config: Config, service: Service, answers: Answers) -> Iterator[Finding]:
    """Units that run where they are not for: such as those that a package's own unit wants, in a template with all."""
    for node, report in drift.answering(config, answers):
        own = units_of(config.site, node)
        units = [
            unit
            for unit in config.site.packaging(service).units
            if unit not in own and report.units[unit].active == "active"
        ]
        if units:
            yield Finding(
                subject=service.name,
                ok=False,
                detail=f"{node.name}: {', '.join(units)} runs, which no role of this node is for",
                hint=f"on {node.name}: systemctl disable --now {' '.join(units)}",
                lasts=True,
            )


def _unit_faults(node: Node, units: Iterable[str], report: NodeReport | UnansweredError) -> Iterator[str]:
    if isinstance(report, UnansweredError):
        yield str(_not_reached(node))
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
    reports = {node: answers.nodes[node.name] for node in site.topology.nodes}
    holders = [node for node, report in reports.items() if isinstance(report, NodeReport) and report.holds_vip]
    unknown = [node for node in balancers if isinstance(reports[node], UnansweredError)]
    ok = len(holders) == 1 and not unknown
    detail = "; ".join([f"held by {names(holders) or 'no node'}", *(str(_not_reached(node)) for node in unknown)])
    yield Finding(subject=str(site.topology.vip), ok=ok, detail=detail, hint=look(site, haproxy.KEEPALIVED, balancers))


def _servers(config: Config, answers: Answers) -> Iterator[Finding]:
    site, servers = config.site, answers.servers
    if isinstance(servers, UnansweredError):
        balancers = site.topology.having(Role.LOADBALANCER)
        yield Finding(
            subject=haproxy.HAPROXY.name, ok=False, detail=str(servers), hint=look(site, haproxy.HAPROXY, balancers)
        )
        return
    states = {(server.listener, server.name): server for server in servers}
    for service, listener in site.listeners():
        nodes = listener.servers(service.nodes(site.topology))
        faults = {}
        for node in nodes:
            server = states.get((listener.section, str(node.address)))
            if server is None:
                faults[node] = f"{node.name}: HAProxy has no such server"
            elif not server.status.startswith("UP"):
                faults[node] = f"{node.name}: {server.status} for {server.seconds} s ({server.check})"
        detail = "; ".join(faults.values()) or f"{names(nodes)} UP"
        yield Finding(subject=listener.section, ok=not faults, detail=detail, hint=look(site, service, faults))


def _closed(config: Config, answers: Answers) -> Iterator[Finding]:
    """What is for some nodes only is not for this machine either."""
    site = config.site
    for service, listener, places in site.restricted():
        nodes = (*site.topology.having(Role.LOADBALANCER), *service.nodes(site.topology))
        lets_in = [f"{place}:{listener.port}" for place in places if (place, listener.port) in answers.lets_in]
        yield Finding(
            subject=listener.section,
            ok=not lets_in,
            detail=f"takes in anybody at {', '.join(lets_in)}" if lets_in else "takes in the nodes that use it alone",
            hint=f"make repair; {look(site, firewall.FIREWALL, nodes)}",
            repairs=tuple(dict.fromkeys(firewall.FIREWALL.step(START, node) for node in nodes)),
        )


def _endpoints(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    for service, endpoint in _with_endpoint(site):
        answer = answers.endpoints[service.name]
        if isinstance(answer, UnansweredError):
            ok, detail = False, str(answer)
        else:
            ok = answer.status in VERSIONS and bool(answer.versions)
            first, more = next(iter(answer.versions), "no version"), len(answer.versions) - 1
            found = f"{first} and {more} more" if more > 0 else first
            detail = f"HTTP {answer.status} with {found} in {answer.seconds:.1f} s from {site.url(endpoint)}"
        yield Finding(
            subject=service.name, ok=ok, detail=detail, hint=look(site, service, service.nodes(site.topology))
        )


def _tokens(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    hint = look(site, keystone.KEYSTONE, keystone.KEYSTONE.nodes(site.topology))
    for user, login in answers.logins.items():
        if isinstance(login, UnansweredError):
            yield Finding(subject=user, ok=False, detail=str(login), hint=hint)
        else:
            yield Finding(
                subject=user, ok=True, detail=f"in project {login.project} as {', '.join(login.roles)}", hint=hint
            )


def _catalog(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    login = next((each for each in answers.logins.values() if not isinstance(each, UnansweredError)), None)
    keystone_nodes = keystone.KEYSTONE.nodes(site.topology)
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
        detail = "; ".join(faults) or f"{', '.join(INTERFACES)}: {url}"
        yield Finding(
            subject=service.name,
            ok=not faults,
            detail=detail,
            hint="" if login is None else f"make repair; {look(site, keystone.KEYSTONE, keystone_nodes)}",
            repairs=_entries(service) if login else (),
        )


def _entries(service: Service) -> tuple[str, ...]:
    """The resources of a service's entry in the catalog."""
    if service is keystone.KEYSTONE:
        return (service.step("bootstrap"),)
    return tuple(service.step(each) for each in ("service", *INTERFACES))


def _image(config: Config, answers: Answers) -> Iterator[Finding]:
    site, found = config.site, answers.image
    file, digest = config.hypervisor.image, answers.image_sha256
    if isinstance(found, UnansweredError):
        ok, detail = False, why(answers, found, "image")
    elif found.status != "active":
        ok, detail = False, f"{found.status}, not active"
    elif found.sha256 != digest:
        ok, detail = False, f"Glance delivers other bytes (sha256 {found.sha256:.12}…) than {file} has ({digest:.12}…)"
    else:
        ok, detail = True, f"public, active, {found.size / 1024**2:.1f} MiB, downloaded: sha256 {digest:.12}… is right"
    nodes = glance.GLANCE.nodes(site.topology)
    yield Finding(subject=config.tenant.image_name, ok=ok, detail=detail, hint=look(site, glance.GLANCE, nodes))


def _not_reached(node: Node) -> UnansweredError:
    return UnansweredError(f"{node.name}: not reached by SSH")


def _with_endpoint(site: Site) -> Iterator[tuple[Service, Endpoint]]:
    return ((service, service.endpoint) for service in site.catalogue if service.endpoint)


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
    "disk": _disks,
    "time": _clocks,
    "units": _units,
    "VIP": _virtual_address,
    "HAProxy": _servers,
    "firewall": _closed,
    "endpoint": _endpoints,
    "token": _tokens,
    "catalog": _catalog,
    "image": _image,
    **cloud_checks.CHECKS,
    **drift.CHECKS,
}
