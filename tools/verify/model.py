"""What is asked of a running lab and what is found out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from keystoneauth1.session import Session


class UnansweredError(Exception):
    """A question without a usable answer; the text says why, in one line and without secrets."""


class MissingError(UnansweredError):
    """What was asked for is not there."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """A systemd unit's ActiveState, SubState and UnitFileState."""

    active: str
    sub: str
    enabled: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What a node says of its clock: `offset` in seconds, `leap` "Normal" when synchronised."""

    offset: float
    leap: str
    stratum: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """A file on a node: `owner` as user:group, `mode` in octal, `sha256` of its bytes."""

    owner: str
    mode: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What a node says of itself: `units` by name, those of the lab's `files` that it has by path, and the packages of
    its services that are `absent`. `free`: what its disk has left, in MiB.
    """

    holds_vip: bool
    free: int
    clock: Clock | UnansweredError
    files: Mapping[str, FileState]
    absent: tuple[str, ...]
    units: Mapping[str, UnitState]


@dataclass(frozen=True, slots=True)
class Grant:
    """All privileges on a database for a user who comes from a place, in the database server's form."""

    user: str
    place: str
    database: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """A user's role in a project, by their names."""

    user: str
    role: str
    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A line of HAProxy's statistics: `status` such as "UP", `check` its last check's result, `seconds` since when."""

    listener: str
    name: str
    status: str
    check: str
    seconds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDocument:
    """An API's answer at its endpoint: status, time until its end in seconds, and the versions that it names."""

    status: int
    seconds: float
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page for people: status, time until its end in seconds, title."""

    status: int
    seconds: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A token: the session that uses it, what it is good for, and the catalog that came with it (Keystone's form)."""

    session: Session
    project: str
    roles: tuple[str, ...]
    catalog: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFound:
    """A public image as Glance describes it; `sha256` of the bytes that it delivered, None unless it is active."""

    status: str
    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A resource provider of Placement: total of each resource class, such as VCPU, MEMORY_MB and DISK_GB."""

    name: str
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A compute service or network agent as its API lists it; `host` is a node's full name."""

    binary: str
    host: str
    up: bool
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    """A hypervisor as Nova lists it. Memory in MiB, disk in GiB."""

    host: str
    up: bool
    enabled: bool
    vcpus: int
    memory: int
    disk: int
    instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeCheck:
    """One result of `upgrade check`: "Success", "Warning" or "Failure", and what it says about it."""

    name: str
    result: str
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeChecks:
    """The results of `upgrade check`; exit status 0 means success, 1 warnings, all else that something is wrong."""

    status: int
    results: tuple[UpgradeCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether there is nothing worse than a warning."""
        return self.status in (0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A login to the dashboard: the page that it led to, the user whom that page names, seconds that it took."""

    path: str
    user: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A server as its tenant sees it; `fault` is why it failed, if it did."""

    status: str
    addresses: tuple[str, ...]
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Everything that the lab was asked: `nodes` by node; `endpoints` and `upgrades` by service; `logins` and
    `dashboard` by user name; `cells` tells the hosts that are mapped to each cell.
    """

    nodes: Mapping[str, NodeReport | UnansweredError]
    grants: frozenset[Grant] | UnansweredError
    servers: Sequence[Server] | UnansweredError
    lets_in: frozenset[tuple[IPv4Address, int]]
    """Addresses and ports that are for some nodes only, and took a connection from this machine."""
    endpoints: Mapping[str, VersionDocument | UnansweredError]
    logins: Mapping[str, Login | UnansweredError]
    assignments: frozenset[Assignment] | UnansweredError
    image: ImageFound | UnansweredError
    image_sha256: str
    """Digest of the file that was uploaded as the public image."""
    providers: Sequence[Provider] | UnansweredError
    compute_services: Sequence[Daemon] | UnansweredError
    network_agents: Sequence[Daemon] | UnansweredError
    hypervisors: Sequence[Hypervisor] | UnansweredError
    cells: Mapping[str, Sequence[str]] | UnansweredError
    upgrades: Mapping[str, UpgradeChecks | UnansweredError]
    dashboard: Mapping[str, Visit | UnansweredError]
    console: Page | UnansweredError
    instance: Instance | UnansweredError | None
    """The tenant's instance; None where the configuration has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at; `hint` says where to look when it is wrong, `repairs` names the resources that mend it.

    `lasts`: it would stay wrong until somebody does something about it.
    """

    subject: str
    ok: bool
    detail: str
    hint: str
    repairs: tuple[str, ...] = ()
    lasts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A finding under its check's name: a line of the table. A right one needs no hint and no repair."""

    check: str
    subject: str
    ok: bool
    detail: str
    hint: str
    repairs: tuple[str, ...]
    lasts: bool
