"""What is asked of a running lab and what is found out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keystoneauth1.session import Session


class UnansweredError(Exception):
    """A question without a usable answer; the text says why, in one line and without secrets."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """A systemd unit's ActiveState, SubState and UnitFileState."""

    active: str
    sub: str
    enabled: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What chrony says of a node's clock: `offset` in seconds, `leap` "Normal" when synchronised."""

    offset: float
    leap: str
    stratum: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What a node says of itself; `units` by name."""

    holds_vip: bool
    clock: Clock | UnansweredError
    units: Mapping[str, UnitState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A line of HAProxy's statistics: `status` such as "UP", `check` its last check's result, `seconds` since when."""

    listener: str
    name: str
    status: str
    check: str
    seconds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """Status and time until the answer's end, in seconds."""

    status: int
    seconds: float


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
class Answers:
    """Everything that the lab was asked: `nodes` by node, `endpoints` by service, `logins` by user name."""

    nodes: Mapping[str, NodeReport | UnansweredError]
    servers: Sequence[Server] | UnansweredError
    endpoints: Mapping[str, HttpAnswer | UnansweredError]
    logins: Mapping[str, Login | UnansweredError]
    image: ImageFound | UnansweredError
    image_sha256: str
    """Digest of the file that was uploaded as the public image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at; `hint` says where to look when it is wrong."""

    subject: str
    ok: bool
    detail: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A finding under its check's name: a line of the table. A right one needs no hint."""

    check: str
    subject: str
    ok: bool
    detail: str
    hint: str
