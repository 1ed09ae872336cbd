"""Nodes, roles, networks and addresses (guide chapters 4 and 4.1). Pure."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network


class Role(StrEnum):
    """What a node is for; roles, not names, decide what is installed where."""

    CONTROLLER = "controller"
    DATABASE = "database"
    LOADBALANCER = "loadbalancer"
    COMPUTE = "compute"


@dataclass(frozen=True, slots=True)
class Network:
    """A libvirt network and its bridge; the host holds the first address."""

    bridge: str
    cidr: IPv4Network

    @property
    def gateway(self) -> IPv4Address:
        """The host's address on the bridge."""
        return self.cidr.network_address + 1

    def interface(self, address: IPv4Address) -> str:
        """`address` with the network's prefix length, such as 172.16.0.101/16."""
        return f"{address}/{self.cidr.prefixlen}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine. Memory in MiB, disk in GiB."""

    name: str
    domain: str
    roles: frozenset[Role]
    address: IPv4Address
    internal_address: IPv4Address
    vcpus: int
    memory: int
    disk: int

    @property
    def machine(self) -> str:
        """Name of the libvirt domain and, without the DNS domain, of the host: openstack-controller1."""
        return f"openstack-{self.name}"

    @property
    def volume(self) -> str:
        """Name of its disk in the storage pool."""
        return f"{self.machine}.qcow2"

    @property
    def fqdn(self) -> str:
        """Full host name, such as openstack-controller1.magedu.local."""
        return f"{self.machine}.{self.domain}"


def mac(address: IPv4Address) -> str:
    """A locally administered MAC address that follows the IPv4 address, as libvirt writes it: upper case."""
    return ":".join(f"{byte:02X}" for byte in (0x52, 0x54, *address.packed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The enabled nodes, by address, and the networks that join them."""

    domain: str
    provider: Network
    internal: Network
    vip: IPv4Address
    nodes: tuple[Node, ...]

    @property
    def vip_name(self) -> str:
        """Name of the virtual address that every API URL uses (guide 4.7.1)."""
        return f"openstack-vip.{self.domain}"

    def having(self, *roles: Role) -> tuple[Node, ...]:
        """The nodes that have any of the roles, in order; the first one does what is done once."""
        return tuple(node for node in self.nodes if node.roles.intersection(roles))

    def hosts_file(self) -> str:
        """/etc/hosts of every node, and of the operator inside `make shell`."""
        lines = [
            "127.0.0.1 localhost",
            "::1 localhost ip6-localhost ip6-loopback",
            f"{self.vip} {self.vip_name}",
            *(f"{node.address} {node.fqdn} {node.machine}" for node in self.nodes),
        ]
        return "\n".join(lines) + "\n"
