"""What has to be right inside the cloud: Placement, Nova, Neutron, the dashboard, the tenant's instance. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from components.cloud import instance as tenant_instance
from components.config import Config
from components.services import horizon, neutron, nova, placement
from components.services.model import Service, Site
from components.services.nova import console_url
from components.topology import Node, Role
from tools.verify.model import Answers, Daemon, Finding, MissingError, UnansweredError
from tools.verify.places import UPGRADE_CHECKED, look, names, why

INVENTORIES = {"VCPU": "", "MEMORY_MB": " MiB", "DISK_GB": " GiB"}
"""The resource classes that every compute node has, with their units."""

COMPUTE_SERVICES = {"nova-scheduler": nova.NOVA, "nova-conductor": nova.NOVA, "nova-compute": nova.COMPUTE}
_NETWORK_AGENTS = {
    "neutron-linuxbridge-agent": neutron.LINUXBRIDGE,
    "neutron-openvswitch-agent": neutron.OPENVSWITCH_AGENT,
    "neutron-dhcp-agent": neutron.DHCP,
    "neutron-metadata-agent": neutron.METADATA,
}
"""Names under which the APIs list what runs on the nodes of a service."""

_CELL_0, _CELL_1 = "cell0", "cell1"


def network_agents(site: Site) -> dict[str, Service]:
    """Those of the agents that the release has."""
    return {binary: service for binary, service in _NETWORK_AGENTS.items() if service in site.catalogue}


def _placement(config: Config, answers: Answers) -> Iterator[Finding]:
    site, found = config.site, answers.providers
    api = look(site, placement.PLACEMENT, placement.PLACEMENT.nodes(site.topology))
    if isinstance(found, UnansweredError):
        yield Finding(subject="placement", ok=False, detail=why(answers, found, "resource provider"), hint=api)
        return
    totals = {provider.name: provider.totals for provider in found}
    for node in nova.COMPUTE.nodes(site.topology):
        given = totals.pop(node.fqdn, None)
        missing = [kind for kind in INVENTORIES if not (given or {}).get(kind)]
        if given is None:
            detail = "no resource provider of its name"
        elif missing:
            detail = f"no {', '.join(missing)} in its inventory"
        else:
            detail = ", ".join(f"{kind} {given[kind]}{unit}" for kind, unit in INVENTORIES.items())
        yield Finding(subject=node.name, ok=not missing, detail=detail, hint=look(site, nova.COMPUTE, [node]))
    for name in totals:
        yield _unexpected(name, "a resource provider", "openstack resource provider delete")


def _compute_services(config: Config, answers: Answers) -> Iterator[Finding]:
    return _daemons(config, answers, answers.compute_services, COMPUTE_SERVICES, nova.NOVA, "compute service")


def _network_agents(config: Config, answers: Answers) -> Iterator[Finding]:
    expected = network_agents(config.site)
    return _daemons(config, answers, answers.network_agents, expected, neutron.NEUTRON, "network agent")


def _daemons(
    config: Config,
    answers: Answers,
    found: Sequence[Daemon] | UnansweredError,
    expected: Mapping[str, Service],
    api: Service,
    kind: str,
) -> Iterator[Finding]:
    """A finding for each binary on all its nodes, and for each daemon that no node of the stack should have."""
    site = config.site
    if isinstance(found, UnansweredError):
        hint = look(site, api, api.nodes(site.topology))
        yield Finding(subject=api.name, ok=False, detail=why(answers, found, kind), hint=hint)
        return
    by_place = {(daemon.binary, daemon.host): daemon for daemon in found}
    for binary, service in expected.items():
        nodes = service.nodes(site.topology)
        faults = {node: fault for node in nodes if (fault := _fault(by_place.pop((binary, node.fqdn), None)))}
        detail = "; ".join(f"{node.name}: {fault}" for node, fault in faults.items())
        if nodes:
            yield Finding(
                subject=binary,
                ok=not faults,
                detail=detail or f"up and enabled on {names(nodes)}",
                hint=look(site, service, faults),
            )
    for binary, host in by_place:
        yield _unexpected(f"{binary} on {host}", f"a {kind}", f"openstack {kind} delete")


def _fault(daemon: Daemon | None) -> str:
    if daemon is None:
        return "missing"
    return " and ".join([*(["down"] if not daemon.up else []), *(["disabled"] if not daemon.enabled else [])])


def _unexpected(subject: str, what: str, remedy: str) -> Finding:
    """Something left behind by a node that the stack no longer has, or made by hand."""
    return Finding(subject=subject, ok=False, detail=f"{what} that the stack does not have", hint=f"{remedy}, as admin")


def _hypervisors(config: Config, answers: Answers) -> Iterator[Finding]:
    site, found = config.site, answers.hypervisors
    nodes = nova.COMPUTE.nodes(site.topology)
    if isinstance(found, UnansweredError):
        hint = look(site, nova.NOVA, nova.NOVA.nodes(site.topology))
        yield Finding(subject="hypervisors", ok=False, detail=why(answers, found, "hypervisor"), hint=hint)
        return
    by_host = {each.host: each for each in found}
    faults: dict[Node, str] = {}
    for node in nodes:
        each = by_host.pop(node.fqdn, None)
        if each is None:
            faults[node] = f"{node.name}: missing: not reported, or not mapped to a cell"
        elif not (each.up and each.enabled):
            faults[node] = f"{node.name}: {'up' if each.up else 'down'}, {'enabled' if each.enabled else 'disabled'}"
    strangers = [f"{host}: not a compute node of the stack" for host in by_host]
    vcpus, memory, disk = sum(e.vcpus for e in found), sum(e.memory for e in found), sum(e.disk for e in found)
    instances = sum(e.instances for e in found)
    total = f"{len(found)}: {vcpus} vCPUs, {memory} MiB, {disk} GiB in all; {instances} running instances"
    wrong = "; ".join([*faults.values(), *strangers])
    yield Finding(
        subject="hypervisors", ok=not wrong, detail=wrong or total, hint=look(site, nova.COMPUTE, faults or nodes)
    )


def _cells(config: Config, answers: Answers) -> Iterator[Finding]:
    site, mapped = config.site, answers.cells
    controller = site.topology.having(Role.CONTROLLER)[0]
    manage = "runuser -u nova -- nova-manage cell_v2"
    hint = f"on {controller.name}: {manage} list_cells, {manage} discover_hosts --verbose"
    if isinstance(mapped, UnansweredError):
        yield Finding(subject="cells", ok=False, detail=str(mapped), hint=look(site, nova.NOVA, [controller]))
        return
    expected: dict[str, tuple[Node, ...]] = {_CELL_0: (), _CELL_1: nova.COMPUTE.nodes(site.topology)}
    for cell, nodes in expected.items():
        hosts = mapped.get(cell)
        if hosts is None:
            detail, ok = "not mapped, or disabled", False
        else:
            missing = [node for node in nodes if node.fqdn not in hosts]
            strangers = [host for host in hosts if host not in {node.fqdn for node in nodes}]
            faults = [*(f"{node.name} is not mapped" for node in missing), *(f"{host} is mapped" for host in strangers)]
            detail, ok = "; ".join(faults) or " with ".join(["mapped", *([names(nodes)] if nodes else [])]), not faults
        yield Finding(subject=cell, ok=ok, detail=detail, hint=hint)
    for cell in mapped.keys() - expected.keys():
        yield _unexpected(cell, "a cell", "nova-manage cell_v2 delete_cell")


def _upgrades(config: Config, answers: Answers) -> Iterator[Finding]:
    """Warnings are right, and shown."""
    site = config.site
    controller = site.topology.having(Role.CONTROLLER)[0]
    for service in UPGRADE_CHECKED:
        found = answers.upgrades[service.name]
        if isinstance(found, UnansweredError):
            ok, detail = False, why(answers, found, "upgrade check")
        else:
            ok = found.passed
            told = [f"{each.result}: {each.name}: {each.details}" for each in found.results if each.result != "Success"]
            passed = len(found.results) - len(told)
            detail = "\n".join([f"{passed} of {len(found.results)} checks passed", *told])
        hint = f"on {controller.name}: runuser -u {service.name} -- {service.name}-status upgrade check"
        yield Finding(subject=service.name, ok=ok, detail=detail, hint=hint)


def _dashboard(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    hint = look(site, horizon.HORIZON, horizon.HORIZON.nodes(site.topology))
    for user, visit in answers.dashboard.items():
        if isinstance(visit, UnansweredError):
            ok, detail = False, why(answers, visit, "login")
        else:
            ok = visit.user == user
            shown = f"{visit.user or 'nobody'} as logged in"
            detail = f"{visit.path} shows {shown}, {visit.seconds:.1f} s from the form on"
        yield Finding(subject=user, ok=ok, detail=detail, hint=hint)


def _console(config: Config, answers: Answers) -> Iterator[Finding]:
    site, page = config.site, answers.console
    if isinstance(page, UnansweredError):
        ok, detail = False, str(page)
    else:
        ok = page.status == 200 and page.title == "noVNC"
        titled = f"titled {page.title!r} " if page.title else ""
        detail = f"HTTP {page.status} {titled}in {page.seconds:.1f} s from {console_url(site)}"
    yield Finding(subject="noVNC", ok=ok, detail=detail, hint=look(site, nova.NOVA, nova.NOVA.nodes(site.topology)))


def _instance(config: Config, answers: Answers) -> Iterator[Finding]:
    site, found = config.site, answers.instance
    if found is None:
        return
    if isinstance(found, UnansweredError):
        ok, detail = False, why(answers, found, "instance")
    else:
        ok = found.status == "ACTIVE" and in_pool(config, found.addresses)
        pool = "–".join(map(str, config.tenant.pool))
        place = f"{', '.join(found.addresses) or 'no address'} ({pool} is the pool)"
        detail = "; ".join([f"{found.status} with {place}", *([found.fault] if found.fault else [])])
    yield Finding(
        subject=tenant_instance.NAME,
        ok=ok,
        detail=detail,
        hint=look(site, nova.COMPUTE, nova.COMPUTE.nodes(site.topology)),
        repairs=(tenant_instance.NAME,) if isinstance(found, MissingError) else (),
    )


def in_pool(config: Config, addresses: Iterable[str]) -> bool:
    """Whether there are addresses, all of them among those for instances."""
    first, last = config.tenant.pool
    found = [IPv4Address(address) for address in addresses]
    return bool(found) and all(first <= address <= last for address in found)


CHECKS: Mapping[str, Callable[[Config, Answers], Iterable[Finding]]] = {
    "placement": _placement,
    "compute service": _compute_services,
    "network agent": _network_agents,
    "hypervisor": _hypervisors,
    "cell": _cells,
    "upgrade check": _upgrades,
    "dashboard": _dashboard,
    "console": _console,
    "instance": _instance,
}
