"""The stack's configuration, checked as a whole: every finding names the key, the value and what is allowed.

Defaults live in Pulumi.yaml alone; this module has none.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

from components.releases import RELEASES
from components.secrets import GUIDE, PASSWORD, Secrets
from components.services import CATALOGUE
from components.services.model import Site
from components.services.neutron import PHYSICAL_NETWORK
from components.topology import Network, Node, Role, Topology

PROJECT = "openstack-lab"
HOST_FACTS = Path(__file__).resolve().parent.parent / ".lab" / "host.json"

MINIMUM_MEMORY = {Role.CONTROLLER: 2048, Role.DATABASE: 768, Role.LOADBALANCER: 384, Role.COMPUTE: 1024}
"""MiB that the services of a role need to start at all; a node with several roles needs the sum."""

HOST_MEMORY = 512
"""MiB of a compute node that Nova keeps from instances (its `reserved_host_memory_mb`)."""

LONGEST_HOST_NAME = 64
"""Characters that Linux takes for a host's name."""

NEEDED_ROLES = (Role.CONTROLLER, Role.DATABASE, Role.LOADBALANCER)

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
_DNS_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_BASE_URL = re.compile(r"https?://[\w.:-]+(/[\w.~-]+)*")
_FLAVOR_KEYS = {"name", "vcpus", "memory", "disk"}
_NODE_KEYS = {"roles", "address", "vcpus", "memory", "disk", "enabled"}

T = TypeVar("T")


class ConfigError(Exception):
    """The configuration cannot be used; `findings` holds everything that is wrong with it, a sentence each."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    """What set-up found out about this machine (`.lab/host.json`)."""

    uri: str
    pool: str
    domain_type: str
    template: Path
    image: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """What an instance gets. Memory in MiB, disk in GiB."""

    name: str
    vcpus: int
    memory: int
    disk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantConfig:
    """What the first tenant finds in the cloud; `pool` holds the first and the last address for instances."""

    image_name: str
    physical_network: str
    pool: tuple[IPv4Address, IPv4Address]
    flavor: Flavor
    instance: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that the program is told."""

    site: Site
    secrets: Secrets
    hypervisor: Hypervisor
    tenant: TenantConfig


def load(values: Mapping[str, Any], facts: Mapping[str, Any], *, encrypted: Collection[str] = ()) -> Config:
    """Check the configuration (key without namespace -> plain value) and the machine's facts; raise ConfigError.

    `encrypted` are the keys that hold something encrypted in the stack's file.
    """
    reader = _Reader(values, encrypted)
    provider = Network("vmbr0", reader.parsed("providerNetwork", IPv4Network, "a network such as 172.16.0.0/16"))
    internal = Network("vmbr1", reader.parsed("internalNetwork", IPv4Network, "a network such as 10.0.0.0/24"))
    domain = reader.matching("domain", _DNS_DOMAIN, "a DNS domain such as magedu.local")
    nodes = _nodes(reader, provider, internal, domain)
    topology = Topology(
        domain=domain,
        provider=provider,
        internal=internal,
        vip=reader.parsed("vip", IPv4Address, f"an address of {provider.cidr}"),
        nodes=nodes,
    )
    _check_topology(reader, topology)
    release = RELEASES.get(reader.one_of("release", RELEASES)) or next(iter(RELEASES.values()))
    site = Site(
        topology=topology,
        region=reader.matching("region", re.compile(r"[A-Za-z0-9._-]+"), "letters, digits, dots, dashes"),
        release=release,
        catalogue=release.services(CATALOGUE),
        dns=reader.strings("dns", _is_address, "a list of IPv4 addresses"),
        ntp=reader.strings("ntp", bool, "a list of names or addresses"),
        archive=reader.matching("archive", _BASE_URL, "a base URL, http://… or https://…, without a slash at its end"),
    )
    site = replace(site, options=_options(reader, site))
    secrets = Secrets(
        master=reader.matching("masterSecret", re.compile(r".{32,}"), "32 characters or more; `make setup` makes one"),
        machine=reader.matching("machineSecret", re.compile(r"(.{32,})?"), "32 characters or more, or nothing"),
        guide=reader.one_of("passwords", ("derived", "guide")) == "guide",
        overrides=_overrides(reader, site),
    )
    hypervisor = _hypervisor(reader, facts)
    tenant = _tenant(reader, topology)
    if reader.findings:
        raise ConfigError(reader.findings)
    return Config(site=site, secrets=secrets, hypervisor=hypervisor, tenant=tenant)


def from_engine(values: Mapping[str, str], is_secret: Callable[[str], bool] = lambda _: False) -> Config:
    """`load` from what the engine hands over: full keys, every value as text, nothing encrypted any more."""
    keys = {key: key.removeprefix(f"{PROJECT}:") for key in values if key.startswith(f"{PROJECT}:")}
    plain = {name: _plain(values[key]) for key, name in keys.items()}
    return load(plain, host_facts(), encrypted={name for key, name in keys.items() if is_secret(key)})


def host_facts(file: Path = HOST_FACTS) -> dict[str, Any]:
    """What set-up wrote about this machine; empty where set-up has not run."""
    return json.loads(file.read_text()) if file.exists() else {}


def _plain(text: str) -> Any:
    """Lists, objects and truth values arrive as JSON; all else is text."""
    return json.loads(text) if text.startswith(("{", "[")) or text in ("true", "false") else text


class _Reader:
    """Reads values and collects what is wrong; after a finding it returns a stand-in so that reading goes on."""

    def __init__(self, values: Mapping[str, Any], encrypted: Collection[str]) -> None:
        self.values = values
        self.encrypted = encrypted
        self.findings: list[str] = []

    def reject(self, key: str, value: object, allowed: str) -> None:
        self.findings.append(f"{PROJECT}:{key}: {value!r} is not allowed; allowed: {allowed}")

    def text(self, key: str) -> str:
        return str(self.values.get(key, ""))

    def matching(self, key: str, pattern: re.Pattern[str], allowed: str) -> str:
        value = self.text(key)
        if not pattern.fullmatch(value):
            self.reject(key, "***" if key in ("masterSecret", "machineSecret") and value else value, allowed)
        return value

    def one_of(self, key: str, allowed: Mapping[str, object] | tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in allowed:
            self.reject(key, value, ", ".join(allowed))
        return value

    def parsed(self, key: str, parse: Callable[[str], T], allowed: str) -> T:
        try:
            return parse(self.text(key))
        except ValueError:
            self.reject(key, self.text(key), allowed)
            return parse("0.0.0.0")

    def strings(self, key: str, fits: Callable[[str], bool], allowed: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and fits(each) for each in value):
            self.reject(key, value, allowed)
            return ()
        return tuple(value)

    def truth(self, key: str) -> bool:
        """Pulumi writes a truth value back as text."""
        value = str(self.values.get(key, "")).lower()
        if value not in ("true", "false"):
            self.reject(key, self.values.get(key), "true or false")
        return value == "true"

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.values.get(key) or {}
        if not isinstance(value, dict):
            self.reject(key, value, "a mapping")
            return {}
        return value


def _nodes(reader: _Reader, provider: Network, internal: Network, domain: str) -> tuple[Node, ...]:
    nodes = []
    for name, entry in reader.mapping("nodes").items():
        key = f"nodes.{name}"
        if not isinstance(entry, dict):
            reader.reject(key, entry, f"a mapping of {', '.join(sorted(_NODE_KEYS))}")
            continue
        enabled = entry.get("enabled", True)
        if not isinstance(enabled, bool):
            reader.reject(f"{key}.enabled", enabled, "true or false")
        elif not enabled:
            continue
        for unknown in sorted(entry.keys() - _NODE_KEYS):
            reader.reject(f"{key}.{unknown}", entry[unknown], f"the keys {', '.join(sorted(_NODE_KEYS))}")
        if not _HOST_NAME.fullmatch(name):
            reader.reject(key, name, "a host name of small letters, digits and dashes")
        if name == "vip":
            reader.reject(key, name, "another name; openstack-vip is the virtual address's")
        node = _node(reader, name, entry, provider, internal, domain)
        if node:
            nodes.append(node)
    return tuple(sorted(nodes, key=lambda node: node.address))


def _node(
    reader: _Reader, name: str, entry: Mapping[str, Any], provider: Network, internal: Network, domain: str
) -> Node | None:
    key = f"nodes.{name}"
    before = len(reader.findings)
    roles = _roles(reader, f"{key}.roles", entry.get("roles"))
    address = _address(reader, f"{key}.address", entry.get("address"), provider)
    needed = sum(MINIMUM_MEMORY[role] for role in roles)
    vcpus = _number(reader, f"{key}.vcpus", entry.get("vcpus"), 1, "")
    memory = _number(reader, f"{key}.memory", entry.get("memory"), needed, f" MiB for {', '.join(sorted(roles))}")
    disk = _number(reader, f"{key}.disk", entry.get("disk"), 8, " GiB")
    if address is None or len(reader.findings) > before:
        return None
    offset = int(address) - int(provider.cidr.network_address)
    if offset >= internal.cidr.num_addresses - 1:
        reader.reject(f"{key}.address", str(address), f"one whose host part also fits into {internal.cidr}")
        return None
    node = Node(
        name=name,
        domain=domain,
        roles=roles,
        address=address,
        internal_address=internal.cidr.network_address + offset,
        vcpus=vcpus,
        memory=memory,
        disk=disk,
    )
    if len(node.fqdn) > LONGEST_HOST_NAME:
        reader.reject(key, node.fqdn, f"a name that makes {LONGEST_HOST_NAME} characters at most with its domain")
    return node


def _roles(reader: _Reader, key: str, value: object) -> frozenset[Role]:
    known = [str(role) for role in Role]
    if not isinstance(value, list) or not value:
        reader.reject(key, value, f"a list of {', '.join(known)}")
        return frozenset()
    for each in value:
        if each not in known:
            reader.reject(key, each, ", ".join(known))
    return frozenset(Role(each) for each in value if each in known)


def _address(reader: _Reader, key: str, value: object, network: Network) -> IPv4Address | None:
    cidr = network.cidr
    allowed = f"an address of {cidr} other than {network.gateway} (the host), {cidr.network_address}, and {cidr[-1]}"
    try:
        address = IPv4Address(str(value))
    except ValueError:
        address = None
    if address is None or not _usable(address, network):
        reader.reject(key, value, allowed)
        return None
    return address


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _usable(address: IPv4Address, network: Network) -> bool:
    reserved = (network.cidr.network_address, network.gateway, network.cidr.broadcast_address)
    return address in network.cidr and address not in reserved


def _number(reader: _Reader, key: str, value: object, least: int, unit: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        reader.reject(key, value, f"a number of {least} or more{unit}")
        return least
    return value


def _check_topology(reader: _Reader, topology: Topology) -> None:
    vip, provider = topology.vip, topology.provider
    if not _usable(vip, provider):
        reader.reject("vip", str(vip), f"an address of {provider.cidr} other than the host's {provider.gateway}")
    addresses = Counter(node.address for node in topology.nodes)
    for node in topology.nodes:
        if addresses[node.address] > 1:
            reader.reject(f"nodes.{node.name}.address", str(node.address), "an address that no other node has")
        if node.address == vip:
            reader.reject("vip", str(vip), f"an address that no node has (it is {node.name}'s)")
    if provider.cidr.overlaps(topology.internal.cidr):
        reader.reject("internalNetwork", str(topology.internal.cidr), f"a network apart from {provider.cidr}")
    if not reader.findings:
        for role in NEEDED_ROLES:
            if not topology.having(role):
                reader.reject("nodes", [node.name for node in topology.nodes], f"at least one enabled {role} node")


def _tenant(reader: _Reader, topology: Topology) -> TenantConfig:
    tenant = TenantConfig(
        image_name=reader.matching("imageName", re.compile(r"\S+"), "a name without blanks"),
        physical_network=reader.matching(
            "physicalNetwork", re.compile(PHYSICAL_NETWORK), f"{PHYSICAL_NETWORK}; the agents map no other network"
        ),
        pool=_pool(reader, topology),
        flavor=_flavor(reader, topology),
        instance=reader.truth("instance"),
    )
    if tenant.instance and not topology.having(Role.COMPUTE):
        reader.reject("instance", tenant.instance, "false without an enabled compute node")
    return tenant


def _pool(reader: _Reader, topology: Topology) -> tuple[IPv4Address, IPv4Address]:
    key, text, provider = "allocationPool", reader.text("allocationPool"), topology.provider
    allowed = (
        f"FIRST-LAST, two addresses of {provider.cidr} with none of the host, the virtual address or a node between"
    )
    try:
        first, last = (IPv4Address(part.strip()) for part in text.split("-"))
    except ValueError:
        reader.reject(key, text, allowed)
        return topology.vip, topology.vip
    if first > last or first not in provider.cidr or last not in provider.cidr:
        reader.reject(key, text, allowed)
    taken = {
        "the network's own address": provider.cidr.network_address,
        "its broadcast address": provider.cidr.broadcast_address,
        "the host": provider.gateway,
        "the virtual address": topology.vip,
        **{node.name: node.address for node in topology.nodes},
    }
    for name, address in taken.items():
        if first <= address <= last:
            reader.reject(key, text, f"{allowed} ({address} is {name})")
    return first, last


def _flavor(reader: _Reader, topology: Topology) -> Flavor:
    entry = reader.mapping("flavor")
    for unknown in sorted(entry.keys() - _FLAVOR_KEYS):
        reader.reject(f"flavor.{unknown}", entry[unknown], f"the keys {', '.join(sorted(_FLAVOR_KEYS))}")
    name = entry.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        reader.reject("flavor.name", name, "letters, digits, dots and dashes")
    flavor = Flavor(
        name=str(name),
        vcpus=_number(reader, "flavor.vcpus", entry.get("vcpus"), 1, ""),
        memory=_number(reader, "flavor.memory", entry.get("memory"), 64, " MiB"),
        disk=_number(reader, "flavor.disk", entry.get("disk"), 1, " GiB"),
    )
    computes = topology.having(Role.COMPUTE)
    if computes:
        offered = {
            "vcpus": max(node.vcpus for node in computes),
            "memory": max(node.memory for node in computes) - HOST_MEMORY,
            "disk": max(_free(node.disk) for node in computes),
        }
        for key, most in offered.items():
            if getattr(flavor, key) > most:
                reader.reject(
                    f"flavor.{key}", getattr(flavor, key), f"{most} or less, what the largest compute node can give"
                )
    return flavor


def _free(disk: int) -> int:
    """GiB that Placement hears of on a disk of that size: ext4 takes a 64th for its inodes, and a journal."""
    return (63 * disk - 16) // 64


def _options(reader: _Reader, site: Site) -> dict[str, Any]:
    """Only INI files take options; any other text is whole. Files' texts show in previews and in the state."""
    if "options" in reader.encrypted:
        reader.reject(
            "options",
            "***",
            "nothing encrypted; @NAME_secret@ as a value, and passwordOverrides.NAME_secret with --secret",
        )
        return {}
    options = reader.mapping("options")
    if not all(site.topology.having(role) for role in NEEDED_ROLES):
        return options
    services = {service.name: service for service in site.catalogue}
    for name, files in options.items():
        if name not in services:
            reader.reject("options", name, f"the services {', '.join(services)}")
            continue
        nodes = services[name].nodes(site.topology)[:1]
        known = [file.name for node in nodes for file, _ in site.ini_files(services[name], node)]
        for file, sections in files.items() if isinstance(files, dict) else [(files, None)]:
            if file not in known:
                reader.reject(f"options.{name}", file, f"the files {', '.join(known) or '(none)'}")
            elif not isinstance(sections, dict) or not all(isinstance(each, dict) for each in sections.values()):
                reader.reject(f"options.{name}.{file}", sections, "section -> option -> value")
            else:
                settings = (
                    (f"{section}.{key}", sections[section][key]) for section in sections for key in sections[section]
                )
                for setting, value in settings:
                    if not _is_value(value):
                        allowed = "text of one line, a number, true or false, a list of these, or null"
                        reader.reject(f"options.{name}.{file}.{setting}", value, allowed)
    return options


def _is_value(value: object) -> bool:
    return value is None or all(
        isinstance(each, str | int | float) and "\n" not in str(each)
        for each in (value if isinstance(value, list) else [value])
    )


def _overrides(reader: _Reader, site: Site) -> dict[str, str]:
    overrides = reader.mapping("passwordOverrides")
    # Files can be rendered only from what is right so far.
    known = None if reader.findings or not overrides else password_names(site)
    for name, value in overrides.items():
        if known is not None and name not in known:
            reader.reject("passwordOverrides", name, f"the names {', '.join(sorted(known))}")
        if not isinstance(value, str) or not PASSWORD.fullmatch(value):
            reader.reject(f"passwordOverrides.{name}", "***", "4 to 64 letters, digits and . _ ~ -")
    return overrides


def password_names(site: Site) -> set[str]:
    """Those of `secret_names` that may be given and rotated one by one."""
    return {name for name in secret_names(site) if name.endswith(("_password", "_secret"))}


def secret_names(site: Site) -> set[str]:
    """Names of all secrets of the site but the keys for SSH, those that the operator's own options name included."""
    users = {f"{service.name}_identity_password" for service in site.catalogue if service.has_user}
    users |= {f"{service.name}_database_password" for service in site.catalogue if service.databases}
    texts = [
        text
        for service in site.catalogue
        for node in service.nodes(site.topology)
        for text in (*(file.text for file in site.files(service, node)), *(t.script(site, node) for t in service.tasks))
    ]
    return users | Secrets(master="").names(texts) | set(GUIDE)


def _hypervisor(reader: _Reader, facts: Mapping[str, Any]) -> Hypervisor:
    missing = [key for key in ("libvirt_uri", "pool", "domain_type", "template", "image") if not facts.get(key)]
    if missing:
        reader.findings.append(f".lab/host.json: no {', '.join(missing)}; `make setup` writes it")
    template, image = (Path(facts.get(key) or "") for key in ("template", "image"))
    for key, file in (("template", template), ("image", image)):
        if facts.get(key) and not file.is_file():
            reader.findings.append(f".lab/host.json: {key} {str(file)!r} is missing; `make setup` brings it back")
    for key in ("template", "image"):
        if facts and facts.get(f"{key}_source", "") != reader.text(key):
            reader.reject(key, reader.text(key), "the one that set-up prepared; run `make setup`")
    release = reader.text("release")
    if facts.get("release", release) != release:
        reader.reject("release", release, f"{facts['release']}, which set-up prepared; run `make setup`")
    return Hypervisor(
        uri=str(facts.get("libvirt_uri", "")),
        pool=str(facts.get("pool", "")),
        domain_type=str(facts.get("domain_type", "")),
        template=template,
        image=image,
    )
