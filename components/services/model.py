"""What a service is, as data. All else is derived from it once: passwords, users, listeners, commands, checks. Pure.

Texts name secrets by placeholders such as `@glance_database_password@` (see `components.secrets.PLACEHOLDER`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from typing import TypeAlias

from components.services.ini import Ini, merge, render
from components.topology import Node, Role, Topology

EVERY_ROLE = tuple(Role)

INTERFACES = ("public", "internal", "admin")
"""A service's endpoints in the catalog, all with one URL."""

CATALOG = "catalog"
"""In `Service.after`: the users, roles and endpoints of all services in Keystone."""

FILES, GRANT, START, RETIRE = "files", "database", "start", "database-password"
"""Steps of a service's set-up: its files on a node, its databases and their user, its units on a node; and, when these
have the present password, the end of the former one in the database."""

Text: TypeAlias = "Callable[[Site, Node], str]"
"""A text that follows from the site's facts and the node it is for."""


def constant(text: str) -> Text:
    """A text that is the same everywhere."""
    return lambda _site, _node: text


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """A file on a node. `content` gives either the text or, for an INI file, its settings as data."""

    path: str
    content: "Callable[[Site, Node], Ini | str]"
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"

    @property
    def name(self) -> str:
        """The last part of the path: how `options` in the stack's configuration names the file."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """A file as it will stand on a node, secrets still as placeholders."""

    path: str
    owner: str
    group: str
    mode: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What the Keystone catalog says of a service: public, internal and admin are one URL (guide 4.7)."""

    type: str
    description: str
    port: int
    path: str = ""


class Mode(StrEnum):
    """HAProxy's two ways to pass traffic on."""

    TCP = "tcp"
    HTTP = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A port that HAProxy opens on the virtual address and hands to the service's nodes.

    `speaks_http` tells how readiness is asked for: by any HTTP answer below 500 to `path`, or by a TCP connection.
    `single` hands everything to the first node: its data is not replicated to the others. `sticky` keeps a browser on
    one node by a cookie. `clients` are the roles whose nodes may use it; none: everybody may.
    """

    name: str
    port: int
    mode: Mode = Mode.TCP
    speaks_http: bool = True
    path: str = "/"
    single: bool = False
    sticky: bool = False
    options: tuple[str, ...] = ()
    clients: tuple[Role, ...] = ()

    @property
    def section(self) -> str:
        """Its name in HAProxy's configuration and statistics."""
        return f"{self.name}-{self.port}"

    def servers(self, nodes: "tuple[Node, ...]") -> "tuple[Node, ...]":
        """Those of the service's nodes that HAProxy hands connections to."""
        return nodes[:1] if self.single else nodes


class Protocol(StrEnum):
    """What a node takes in, by its name in /etc/protocols."""

    TCP = "tcp"
    UDP = "udp"
    VRRP = "vrrp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """What a service takes in on its nodes besides its listeners, from nodes with one of the roles `clients`.

    `ports` is one, a range such as "5900-6899", or empty where the protocol has none; `role` opens it only on those of
    the service's nodes that have it.
    """

    protocol: Protocol
    clients: tuple[Role, ...]
    ports: str = ""
    role: Role | None = None


class When(StrEnum):
    """At what point of a service's life a task runs, always after the service's files and migrations."""

    BEFORE_START = "before-start"
    BESIDE_START = "beside-start"
    AFTER_START = "after-start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A step beyond those that every service has. Idempotent; `once` runs it on the service's first node only.

    `role` runs it on the first node of another role, once every node of the service got so far. What the script prints
    is the resource's output: a digest or an identifier, never a secret.
    """

    name: str
    script: Text
    when: When = When.BEFORE_START
    once: bool = True
    role: Role | None = None
    seconds: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """Brings a database's schema to the release's version; run as the service's own user, once."""

    database: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service of the lab.

    Every node with one of `roles` has it; `after` names services that must answer before it starts, where the release
    has them, or CATALOG.
    `check` runs before every start, so that files that would break the service never reach it; `ready` waits, after
    every start, for what no listener tells. `reports_as` are the binaries under which Nova or Neutron goes on listing
    it for a node until told otherwise.
    """

    name: str
    roles: tuple[Role, ...]
    after: tuple[str, ...] = ()
    files: tuple[ConfigFile, ...] = ()
    migrations: tuple[Migration, ...] = ()
    tasks: tuple[Task, ...] = ()
    listeners: tuple[Listener, ...] = ()
    ports: tuple[Port, ...] = ()
    endpoint: Endpoint | None = None
    has_user: bool = False
    reports_as: tuple[str, ...] = ()
    reloads: bool = False
    check: "Text | None" = None
    ready: "Text | None" = None

    @property
    def databases(self) -> tuple[str, ...]:
        """The databases it owns, with a database user of the service's name."""
        return tuple(migration.database for migration in self.migrations)

    def nodes(self, topology: Topology) -> tuple[Node, ...]:
        """The nodes it runs on."""
        return topology.having(*self.roles)

    def step(self, name: str, node: Node | None = None) -> str:
        """Name of the resource that takes a step of its set-up, on that node if there is one on each."""
        return "-".join([self.name, *([node.name] if node else []), name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaging:
    """How one distribution ships one service: what differs from the guide's words."""

    packages: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    first: frozenset[str] = frozenset()
    """Those of the units that are restarted first, the others once these answer. Empty: all at once."""
    files: tuple[ConfigFile, ...] = ()
    omits: frozenset[str] = frozenset()
    """Paths of the service's files that this distribution has no use for."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """The guide's path -> this distribution's."""
    settings: "Mapping[str, Callable[[Site, Node], Ini]]" = field(default_factory=dict)
    """File name -> settings laid over the service's own."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the service's texts call by another name in each release."""
    ports: tuple[Port, ...] = ()
    """What only this distribution's program takes in, besides the service's own ports."""
    verb: str = ""
    """systemctl's verb for changed files, where a restart would do harm."""
    rereads: Mapping[str, str] = field(default_factory=dict)
    """Path of a file -> command by which the running units read it anew: a change of it restarts nothing."""
    logs: tuple[str, ...] = ()
    """Log files that a failing start shows, besides the units' journal."""
    prepare: str = ""
    """Script that runs before every start, once the files are in place."""
    activate: str = ""
    """Command that makes changed files take effect where no restart of a unit does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An OpenStack release as one distribution ships it."""

    name: str
    title: str
    interface: str
    """Interface that holds a node's provider address once the network service is set up."""
    install: str
    """Command that installs the packages given as its arguments; finds nothing to do in a baked template."""
    absent: str
    """Command that prints those of the packages given as its arguments that are not installed."""
    clock: Text
    """Script that prints the state of a node's clock as a line of `chronyc -c tracking`: its source second, then the
    stratum, its offset in seconds fifth, `Normal` last if it is synchronised; or else what is wrong."""
    clock_agrees: str
    """Command that waits, half a minute at most, until a clock that has just been set agrees with its source."""
    user_data: str = "user-data.yaml"
    """The template of cloud-init's user data."""
    packages: tuple[str, ...] = ()
    """What every node has besides the packages of its services."""
    foundation: "Mapping[str, Callable[[Site], str]]" = field(default_factory=dict)
    """Files that every node has before its packages: path -> text."""
    packaging: Mapping[str, Packaging]
    user_roles: tuple[str, ...] = ()
    """Keystone's own roles that the tenant's user needs besides the guide's `myrole`, which policies do not know."""
    service_roles: tuple[str, ...] = ()
    """Keystone's own roles that the services' users need besides `admin`."""

    def services(self, catalogue: Iterable[Service]) -> tuple[Service, ...]:
        """Those of the catalogue that the release has."""
        return tuple(service for service in catalogue if service.name in self.packaging)


Options = Mapping[str, Mapping[str, Ini]]
"""service -> file name -> settings: the operator's own, laid over all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Every fact that a file or script may mention, resolved to plain text."""

    topology: Topology
    region: str
    release: Release
    catalogue: tuple[Service, ...]
    dns: tuple[str, ...]
    ntp: tuple[str, ...]
    archive: str
    options: Options = field(default_factory=dict)

    @property
    def vip_name(self) -> str:
        """The name under which everything is reached through the virtual address."""
        return self.topology.vip_name

    def workers(self, node: Node) -> int:
        """Processes of an API service: one for two of the node's virtual CPUs, since each loads the service anew."""
        return (node.vcpus + 1) // 2

    def packaging(self, service: Service) -> Packaging:
        """What the release says of the service."""
        return self.release.packaging[service.name]

    def fact(self, service: str, name: str) -> str:
        """What the release calls a thing that the service's texts mention."""
        return self.release.packaging[service].facts[name]

    def services(self, node: Node) -> tuple[Service, ...]:
        """The services that run on the node."""
        return tuple(service for service in self.catalogue if node in service.nodes(self.topology))

    def packages(self, node: Node) -> list[str]:
        """The packages of the node's services."""
        of_services = {package for service in self.services(node) for package in self.packaging(service).packages}
        return sorted(of_services.union(self.release.packages))

    def files_on(self, node: Node) -> dict[RenderedFile, tuple[Service, ...]]:
        """Every file of the node's services, and the services that have it in common."""
        found: dict[RenderedFile, tuple[Service, ...]] = {}
        for service in self.services(node):
            for file in self.files(service, node):
                found[file] = (*found.get(file, ()), service)
        return found

    def listeners(self) -> Iterator[tuple[Service, Listener]]:
        """What HAProxy opens: the listeners of all services that have nodes."""
        for service in self.catalogue:
            if service.nodes(self.topology):
                yield from ((service, listener) for listener in service.listeners)

    def restricted(self) -> Iterator[tuple[Service, Listener, tuple[IPv4Address, ...]]]:
        """The listeners that are for some nodes only, each with the addresses at which others must not get in."""
        for service, listener in self.listeners():
            if listener.clients:
                nodes = service.nodes(self.topology)
                yield service, listener, (self.topology.vip, *(node.address for node in nodes))

    def url(self, endpoint: Endpoint) -> str:
        """The endpoint's URL through the virtual address."""
        return f"http://{self.vip_name}:{endpoint.port}{endpoint.path}"

    def database_url(self, user: str, database: str) -> str:
        """SQLAlchemy URL of a database through the virtual address."""
        return f"mysql+pymysql://{user}:@{user}_database_password@@{self.vip_name}/{database}"

    def transport_url(self) -> str:
        """oslo.messaging URL of RabbitMQ through the virtual address."""
        return f"rabbit://openstack:@openstack_rabbitmq_password@@{self.vip_name}:5672/"

    def files(self, service: Service, node: Node) -> tuple[RenderedFile, ...]:
        """The service's files on the node, each at this distribution's path."""
        packaging = self.packaging(service)
        return tuple(
            RenderedFile(
                path=packaging.paths.get(file.path, file.path),
                owner=file.owner,
                group=file.group,
                mode=file.mode,
                text=self._text(service, file, node),
            )
            for file in (*service.files, *packaging.files)
            if file.path not in packaging.omits
        )

    def ini_files(self, service: Service, node: Node) -> Iterator[tuple[ConfigFile, Ini]]:
        """The service's INI files on the node, all layers of settings merged: its own, the release's, the user's."""
        packaging = self.packaging(service)
        for file in (*service.files, *packaging.files):
            content = file.content(self, node)
            if not isinstance(content, str) and file.path not in packaging.omits:
                overlay = packaging.settings.get(file.name)
                yield file, merge(content, overlay(self, node) if overlay else {}, self._options(file, node))

    def _options(self, file: ConfigFile, node: Node) -> Ini:
        """The operator's own for a file, given with any of the services that share it on the node."""
        sharing = (service for service in self.services(node) if file.path in [each.path for each in service.files])
        return merge(*(self.options.get(service.name, {}).get(file.name, {}) for service in sharing))

    def _text(self, service: Service, file: ConfigFile, node: Node) -> str:
        content = file.content(self, node)
        if isinstance(content, str):
            return content
        return render(next(ini for each, ini in self.ini_files(service, node) if each is file))
