"""What has to be right before anything is made, looked at all at once: each finding with its value and its remedy."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from components import config
from tools import made, paths, stack
from tools.hypervisor import Hypervisor
from tools.hypervisor.virsh import names, pool_directory, virsh
from tools.steps import StepError

OVERHEAD = 128
"""MiB that QEMU takes for itself, by machine."""
WRITTEN = 4
"""GiB that a machine comes to write. Its disk is thin: most of what it is given is never taken."""

COMMANDS = {"mkisofs": "genisoimage", "xsltproc": "xsltproc", "qemu-img": "qemu-utils", "dnsmasq": "dnsmasq-base"}
"""Commands that libvirt and its provider run, and the packages they come in."""

TUN = Path("/dev/net/tun")
"""What a machine's interface is made with."""

BRIDGES = {"vmbr0": "providerNetwork", "vmbr1": "internalNetwork"}
"""The lab's bridges and the configuration keys of their networks."""


@dataclass(frozen=True)
class Finding:
    """Something to be put right: where it stands, what is wrong, what to do."""

    key: str
    value: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.value}; {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the lab would be made among. Sizes in MiB (memory) and GiB (disk)."""

    memory: int
    disk: int
    commands: frozenset[str] = frozenset()
    """Commands that can be found."""
    tun: bool = True
    """Whether the machines can be given interfaces."""
    interfaces: Mapping[str, tuple[IPv4Interface, ...]] = field(default_factory=dict)
    """Interfaces where the lab runs, with their addresses."""
    domains: Mapping[str, bool] = field(default_factory=dict)
    """libvirt's machines, and whether they run."""
    networks: Mapping[str, str] = field(default_factory=dict)
    """libvirt's networks and their bridges."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Names of the domains and networks that stacks of this checkout have made -> stack."""


def check(name: str, hypervisor: Hypervisor) -> None:
    """Raise StepError with every finding about the stack `name`, if there is any."""
    values, facts = stack.configuration(name), config.host_facts(paths.HOST_FACTS)
    found = [
        *unreachable_backend(hypervisor),
        *examine(name, values, look(hypervisor)),
        *emptied(values, made.by(name, *made.VOLUMES), Path(facts.get("template", "")).name),
    ]
    _report([*map(str, found), *_senseless(values, facts)])


def check_configuration(name: str) -> None:
    """The part of `check` that needs no set-up, so that nobody waits minutes to learn of a slip."""
    values = {"masterSecret": stack.STAND_IN, **stack.configuration(name)}
    anything = str(Path(__file__))
    facts = dict.fromkeys(("libvirt_uri", "pool", "domain_type", "template", "image"), anything)
    sources = {f"{key}_source": values.get(key, "") for key in ("template", "image")}
    _report(_senseless(values, facts | sources))


def _senseless(values: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    try:
        config.load(values, facts)
    except config.ConfigError as error:
        return error.findings
    return []


def _report(findings: Sequence[str]) -> None:
    if findings:
        lines = "\n".join(f"  - {finding}" for finding in findings)
        raise StepError(f"{len(findings)} finding{'s' * (len(findings) > 1)} before anything is made:\n{lines}")


def examine(name: str, values: Mapping[str, Any], around: Surroundings) -> list[Finding]:
    """Findings about what the stack's configuration asks of its surroundings. Pure.

    A configuration that makes no sense is `components.config`'s to report; here it is passed over.
    """
    return [
        *_means(around),
        *_names(name, values, around),
        *_sizes(name, values, around),
        *_addresses(name, values, around),
    ]


def emptied(values: Mapping[str, Any], volumes: Mapping[str, made.Resource], template: str) -> Iterator[Finding]:
    """Disks of machines that an update would replace by empty ones. Pure.

    `volumes`: the stack's, by name; `template`: name of the file that new disks are clones of.
    """
    nodes = _nodes(values)
    disks = {node: volumes[disk]["outputs"] for node in nodes if (disk := f"{machine(node)}.qcow2") in volumes}
    for node, disk in disks.items():
        has, wanted = int(disk["size"]) // 1024**3, _size(nodes[node], "disk")
        if has != wanted:
            yield Finding(
                f"nodes.{node}.disk",
                f"{wanted} GiB, and its disk has {has}: an update would replace it by an empty one",
                f"set it to {has}; or, where nothing on it matters, `pulumi up` in `make shell`",
            )
    others = {node: Path(disk["baseVolumeId"]).name.removeprefix("template-") for node, disk in disks.items()}
    old = sorted(node for node, base in others.items() if base != template)
    if old:
        yield Finding(
            "template",
            f"the disks of {', '.join(old)} are clones of {others[old[0]]}, and set-up has {template} now: an update "
            "would replace them by empty ones",
            "check out the version and set the template that they were made with, or `make destroy` first",
        )


def machine(node: str) -> str:
    """Name of a node's libvirt domain."""
    return f"openstack-{node}"


def unreachable_backend(hypervisor: Hypervisor) -> Iterator[Finding]:
    """A remote state backend is out of reach of a private hypervisor's network namespace."""
    url = os.environ.get("PULUMI_BACKEND_URL", "")
    if hypervisor.namespace and url and not url.startswith("file:"):
        yield Finding(
            "PULUMI_BACKEND_URL",
            f"{url} cannot be reached from the network namespace of the private hypervisor",
            "unset it or use a file:// backend",
        )


def look(hypervisor: Hypervisor) -> Surroundings:
    """See what is there: on this machine, in libvirt, in the states of the checkout's stacks."""
    uri = hypervisor.uri
    running = names(uri, "list")
    return Surroundings(
        memory=_available_memory(),
        disk=shutil.disk_usage(pool_directory(uri, hypervisor.pool)).free // 1024**3,
        commands=frozenset(command for command in COMMANDS if shutil.which(command)),
        tun=TUN.exists(),
        interfaces=_interfaces(hypervisor),
        domains={name: name in running for name in names(uri, "list", "--all")},
        networks={name: _bridge(uri, name) for name in names(uri, "net-list", "--all")},
        owners=made.owners(hypervisor, made.DOMAIN, made.NETWORK),
    )


def _nodes(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The enabled nodes."""
    nodes = values.get("nodes")
    if not isinstance(nodes, Mapping):
        return {}
    return {
        name: node for name, node in nodes.items() if isinstance(node, Mapping) and node.get("enabled") is not False
    }


def _means(around: Surroundings) -> Iterator[Finding]:
    for command, package in COMMANDS.items():
        if command not in around.commands:
            yield Finding(command, "not on PATH, and libvirt or its provider runs it", f"apt-get install {package}")
    if not around.tun:
        yield Finding(str(TUN), "missing", "modprobe tun; in a container: have it given this device")


def _names(stack_name: str, values: Mapping[str, Any], around: Surroundings) -> Iterator[Finding]:
    for node in _nodes(values):
        domain = machine(node)
        if domain in around.domains and around.owners.get(domain) != stack_name:
            yield Finding(
                f"nodes.{node}",
                f"libvirt has a machine {domain} that stack {stack_name} did not make",
                made.removal(around.owners.get(domain), f"virsh destroy {domain}; virsh undefine {domain}"),
            )
    for bridge in BRIDGES:
        others = [name for name, its in around.networks.items() if bridge in (name, its)]
        foreign = [name for name in others if around.owners.get(name) != stack_name]
        for name in foreign:
            yield Finding(
                bridge,
                f"libvirt has a network {name} with this bridge that stack {stack_name} did not make",
                made.removal(around.owners.get(name), f"virsh net-destroy {name}; virsh net-undefine {name}"),
            )
        if bridge in around.interfaces and not others:
            yield Finding(bridge, "an interface of this name exists already", f"rename it, or ip link delete {bridge}")


def _sizes(stack_name: str, values: Mapping[str, Any], around: Surroundings) -> Iterator[Finding]:
    nodes = _nodes(values)
    made = [node for node in nodes if around.owners.get(machine(node)) == stack_name]
    stopped = {node: entry for node, entry in nodes.items() if not (node in made and around.domains.get(machine(node)))}
    memory = sum(_size(entry, "memory") + OVERHEAD for entry in stopped.values())
    if memory > around.memory:
        yield Finding(
            "memory",
            f"{around.memory} MiB available, {memory} MiB wanted by {', '.join(stopped)}",
            f"end other programs, or lower nodes.*.memory in Pulumi.{stack_name}.yaml",
        )
    new = {node: entry for node, entry in nodes.items() if node not in made}
    disk = sum(min(_size(entry, "disk"), WRITTEN) for entry in new.values())
    if disk > around.disk:
        yield Finding(
            "disk",
            f"{around.disk} GiB free where the storage pool lies, about {disk} GiB wanted by {', '.join(new)}",
            "free some, or switch nodes off (enabled: false)",
        )


def _size(entry: Mapping[str, Any], key: str) -> int:
    value = entry.get(key)
    return value if isinstance(value, int) else 0


def _addresses(stack_name: str, values: Mapping[str, Any], around: Surroundings) -> Iterator[Finding]:
    for bridge, key in BRIDGES.items():
        try:
            network = IPv4Network(str(values.get(key)))
        except ValueError:
            continue
        for interface, addresses in around.interfaces.items():
            if interface in BRIDGES:
                continue
            for address in addresses:
                if address.network.overlaps(network):
                    yield Finding(
                        key,
                        f"{network} of {bridge} overlaps {address} of this machine's {interface}",
                        f"set another {stack.PROJECT}:{key} in Pulumi.{stack_name}.yaml",
                    )


def _available_memory() -> int:
    """MiB that can be had without swapping, within the bounds of a container."""
    meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(meminfo["MemAvailable"].split()[0]) // 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and (most := limit.read_text().strip()) != "max":
        available = min(available, (int(most) - int(used.read_text())) // 1024**2)
    return available


def _interfaces(hypervisor: Hypervisor) -> dict[str, tuple[IPv4Interface, ...]]:
    command = hypervisor.command(["ip", "-json", "address", "show"])
    links = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout)
    return {
        link["ifname"]: tuple(
            IPv4Interface(f"{each['local']}/{each['prefixlen']}")
            for each in link["addr_info"]
            if each["family"] == "inet"
        )
        for link in links
    }


def _bridge(uri: str, network: str) -> str:
    info = dict(line.split(":", 1) for line in virsh(uri, "net-info", network).splitlines())
    return info.get("Bridge", "").strip()
