"""`make verify INSTANCE=1`: an instance from its boot to its last trace, as the tenant's user has it."""

import asyncio
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncssh

from components.cloud.clients import ADMIN, DEMO, KEY_FILE
from components.cloud.instance import GROUP, KEY
from components.cloud.network import NAME as NETWORK
from components.config import Config
from components.services import neutron, nova
from components.services.model import Service
from components.services.nova import console_url
from tools.verify import ask, cloud, nodes, web
from tools.verify.cloud_checks import in_pool
from tools.verify.model import Finding, UnansweredError
from tools.verify.places import look

SECONDS = 1200
"""Limit of it all. A first boot takes about five minutes where one emulator runs in another."""

DELETION_SECONDS = 240
"""What of it is kept for the deletion."""

ATTEMPT_SECONDS = 180
"""Limit of one attempt to log in and ask; on a busy machine the metadata service alone takes a minute."""

SSH_PORT = 22
USER = "cirros"

_METADATA = "http://169.254.169.254/latest/meta-data"
_DISKS = "/var/lib/nova/instances"
_RULE = "---"
_PAUSE, _PROGRESS = 3, 15
"""Least seconds between attempts, and seconds between words about them."""

_PORTS = (neutron.LINUXBRIDGE, neutron.OPENVSWITCH, neutron.OPENVSWITCH_AGENT)
"""What connects an instance to its network; a release has one way of it."""

T = TypeVar("T")


class FailedError(Exception):
    """Something that waiting does not mend; the text says what."""


def run(config: Config, clients: Path, tell: Callable[[str], None] | None = None) -> list[Finding]:
    """Boot an instance, look at all that it should have, and delete it, whatever failed.

    A finding for each step, in order, up to the first that failed; then the deletion's. `clients` is the directory of
    the client environment files and of the tenant's key; `tell` gets a line now and then, by default on standard error.
    """
    try:
        course = _Course(config, clients, f"verify-{secrets.token_hex(4)}", tell)
    except UnansweredError as error:
        return [_not_logged_in(error)]
    findings: list[Finding] = []
    try:
        findings += course.take_all(_Course.boot)
    finally:
        course.begin(DELETION_SECONDS)
        findings.append(course.take("deletion", _Course.delete, (nova.COMPUTE, nova.NOVA)))
    return findings


def examine(config: Config, clients: Path, name: str) -> list[Finding]:
    """Look at all that a tenant's instance should have, which is there already and stays."""
    try:
        course = _Course(config, clients, name)
    except UnansweredError as error:
        return [_not_logged_in(error)]
    return course.take_all(_Course.find)


def traces(config: Config, clients: Path, identifier: str) -> set[str]:
    """What is left of a server that was deleted; UnansweredError if that cannot be known."""
    return _Course(config, clients, identifier).traces(identifier)


def _not_logged_in(error: UnansweredError) -> Finding:
    return Finding(subject="login", ok=False, detail=str(error), hint="the rows `token` above")


class _Course:
    """One instance's course. Each step returns what it found, or raises FailedError or UnansweredError."""

    address = ""
    told: Mapping[str, str]

    def __init__(self, config: Config, clients: Path, name: str, tell: Callable[[str], None] | None = None) -> None:
        """Log in as both users; UnansweredError if that fails."""
        self.name = name
        self._config, self._key = config, clients / KEY_FILE
        self._tenant, self._admin = (
            cloud.connect(login, config.site.region)
            for login in [cloud.login(clients / client.file) for client in (DEMO, ADMIN)]
        )
        self._tell = tell or _to_standard_error
        self._ids: set[str] = set()
        self._origin = self._spoken = time.monotonic()
        self.begin(SECONDS - DELETION_SECONDS)

    def begin(self, seconds: float) -> None:
        """All steps from here on together have this long."""
        self._deadline = time.monotonic() + seconds

    def take_all(self, first: "Callable[[_Course], str]") -> list[Finding]:
        """Take all steps after a first one, up to one that fails."""
        findings: list[Finding] = []
        for subject, step, services in (("boot", first, (nova.COMPUTE, nova.NOVA, *_PORTS)), *_STEPS):
            findings.append(self.take(subject, step, services))
            if not findings[-1].ok:
                break
        return findings

    def take(self, subject: str, step: "Callable[[_Course], str]", services: Sequence[Service]) -> Finding:
        """Take a step; a failed one tells the console's last lines."""
        site = self._config.site
        try:
            detail, ok = step(self), True
        except (FailedError, UnansweredError) as error:
            detail, ok = "\n".join([str(error), *self._last_lines()]), False
        self._tell(f"{self._elapsed():4.0f} s  {subject}: {'ok' if ok else 'WRONG'}")
        there = [service for service in services if service in site.catalogue]
        hint = "; ".join(look(site, service, service.nodes(site.topology)) for service in there)
        return Finding(subject=subject, ok=ok, detail=detail, hint=hint)

    def boot(self) -> str:
        """Launch it and see it ACTIVE with an address from the pool."""
        compute = self._tenant.compute
        image_name, flavor_name = self._config.tenant.image_name, self._config.tenant.flavor.name
        with cloud.asking("booting"):
            flavor = compute.find_flavor(flavor_name, ignore_missing=False)
            network = self._tenant.network.find_network(NETWORK, ignore_missing=False)
            images = list(self._tenant.image.images(name=image_name, visibility="public"))
            if len(images) != 1:
                raise FailedError(f"{len(images)} public images of the name {image_name}")
            server = compute.create_server(
                name=self.name,
                image_id=images[0].id,
                flavor_id=flavor.id,
                networks=[{"uuid": network.id}],
                security_groups=[{"name": GROUP}],
                key_name=KEY,
            )
        return f"{self.name} of {flavor_name} from {image_name}: {self._active(str(server.id))}"

    def find(self) -> str:
        """Find it by its name, ACTIVE with an address from the pool."""
        with cloud.asking("Nova"):
            servers = list(self._tenant.compute.servers(name=f"^{self.name}$"))
        if len(servers) != 1:
            raise FailedError(f"{len(servers)} servers of the name {self.name}")
        return f"{self.name}: {self._active(str(servers[0].id))}"

    def _active(self, identifier: str) -> str:
        config = self._config
        self._ids.add(identifier)

        def active() -> Sequence[str] | None:
            with cloud.asking("Nova"):
                found = cloud.described(self._tenant.compute.get_server(identifier))
            if found.status == "ERROR":
                raise FailedError(f"ERROR: {found.fault or 'without a reason'}")
            if found.status != "ACTIVE" or not found.addresses:
                raise UnansweredError(found.status)
            return found.addresses

        addresses = self._wait("ACTIVE", active)
        if not in_pool(config, addresses):
            raise FailedError(f"{', '.join(addresses)} is not of the pool {'-'.join(map(str, config.tenant.pool))}")
        self.address = addresses[0]
        return f"ACTIVE with {self.address}, {self._elapsed():.0f} s"

    def console_log(self) -> str:
        """Wait until it has written something."""
        lines = self._wait("console log", lambda: self._console_lines() or None)
        return f"{len(lines)} lines after {self._elapsed():.0f} s"

    def console(self) -> str:
        """Ask for its console, get that page through the virtual address, and open the connection that it opens."""
        return self._wait("console", self._console)

    def _console(self) -> str:
        with cloud.asking("Nova"):
            console = self._tenant.compute.create_console(next(iter(self._ids)), "novnc") or {}
        url = str(console.get("url", ""))
        page_url, _, query = url.partition("?")
        if page_url != console_url(self._config.site):
            raise FailedError(f"the console's address is {page_url}, not {console_url(self._config.site)}")
        page = ask.page(url)
        if page.status != 200 or page.title != "noVNC":
            raise UnansweredError(f"{page_url}: HTTP {page.status}, titled {page.title!r}")
        path = parse_qs(query).get("path", [""])[0]
        try:
            greeting = web.websocket_greeting(f"http://{urlsplit(url).netloc}/{path}", seconds=web.SECONDS)
        except (OSError, HTTPException) as error:
            raise UnansweredError(f"{page_url}: {error}") from error
        if not greeting.startswith(b"RFB "):
            raise UnansweredError(f"{page_url}: {greeting!r} in place of VNC")
        return f"{page_url} with its token: the page, and VNC behind it ({greeting.decode().strip()})"

    def ping(self) -> str:
        """Ping it from the operator's side."""
        self._wait("answer to ping", lambda: _pings(self.address) or None)
        return f"{self.address} answers after {self._elapsed():.0f} s"

    def log_in(self) -> str:
        """Log in over SSH from the operator's side, and have it say everything that the later steps judge."""
        try:
            key = asyncssh.read_private_key(self._key)
        except (OSError, asyncssh.Error) as error:
            raise FailedError(f"{self._key}: {error}") from error
        servers = self._dhcp_servers()
        script = guest_script(self.address, servers[0])

        def told() -> Mapping[str, str]:
            return read_guest(run_on_guest(self.address, key, script))

        self.told = {
            **self._wait("login by SSH", told),
            "public key": key.export_public_key().decode(),
            "DHCP server": servers[0],
        }
        return f"{USER}@{self.address} with {self._key.name} after {self._elapsed():.0f} s"

    def hostname(self) -> str:
        """Its host name is the server's."""
        if self.told["hostname"] != self.name:
            raise FailedError(f"{self.told['hostname']!r}, not {self.name!r}")
        return self.name

    def metadata(self) -> str:
        """The metadata service tells its name and key, and that key is what opened it."""
        return judge_metadata(self.told, self.name)

    def dns(self) -> str:
        """It got its DNS servers by DHCP, and the DHCP server knows its name."""
        expected = self._config.site.dns or (self.told["DHCP server"],)
        return judge_dns(self.told, expected, self.address)

    def delete(self) -> str:
        """Delete it, known by its name where the answer to its creation got lost; find nothing left."""
        compute = self._tenant.compute

        def found() -> set[str]:
            with cloud.asking("Nova"):
                return {str(server.id) for server in compute.servers(name=f"^{self.name}$")}

        begun = time.monotonic()
        self._ids |= self._wait("list of servers", found)
        if not self._ids:
            return "nothing had been made"

        def gone() -> bool:
            for identifier in self._ids & found():
                with cloud.asking("Nova"):
                    compute.delete_server(identifier)
            if left := found():
                raise UnansweredError(f"server {', '.join(left)} is still there")
            for identifier in self._ids:
                if left := self.traces(identifier):
                    raise UnansweredError(f"left of it: {', '.join(left)}")
            return True

        self._wait("end of it", gone)
        return f"no server, port, allocation in Placement or disk left after {time.monotonic() - begun:.0f} s"

    def traces(self, identifier: str) -> set[str]:
        """Ports, allocations and disks of a server."""
        with cloud.asking("looking for what is left"):
            ports = {f"port {port.id}" for port in self._admin.network.ports(device_id=identifier)}
            allocations = self._admin.placement.get_allocation(identifier).allocations or {}
        disks = {
            f"{disk} on {node.name}"
            for node in nova.COMPUTE.nodes(self._config.site.topology)
            for disk in self._on(node.name, f"find {_DISKS} -maxdepth 1 -name '{identifier}*'").split()
        }
        return ports | {f"allocation of {provider}" for provider in allocations} | disks

    def _on(self, name: str, script: str) -> str:
        node = next(node for node in self._config.site.topology.nodes if node.name == name)
        return nodes.run(node, script, self._config.secrets, seconds=web.SECONDS)

    def _dhcp_servers(self) -> list[str]:
        with cloud.asking("Neutron"):
            network = self._admin.network.find_network(NETWORK, ignore_missing=False)
            ports = self._admin.network.ports(network_id=network.id, device_owner="network:dhcp")
            servers = [str(each["ip_address"]) for port in ports for each in port.fixed_ips]
        if not servers:
            raise FailedError(f"network {NETWORK} has no port of a DHCP server")
        return servers

    def _console_lines(self) -> list[str]:
        with cloud.asking("Nova"):
            said = self._tenant.compute.get_server_console_output(next(iter(self._ids)))
        return [line.strip() for line in str(said.get("output") or "").splitlines() if line.strip()]

    def _last_lines(self) -> list[str]:
        """The end of the console log, as far as there is one."""
        try:
            lines = self._console_lines() if self._ids else []
        except UnansweredError:
            return []
        return ["the console's last lines:", *(f"  {line}" for line in lines[-8:])] if lines else []

    def _wait(self, what: str, attempt: Callable[[], T | None]) -> T:
        """The attempt's result, once there is one; at the deadline UnansweredError with why the last one had none."""
        why = ""
        while True:
            begun = time.monotonic()
            try:
                if (found := attempt()) is not None:
                    return found
            except UnansweredError as error:
                why = f" ({error})"
            if time.monotonic() > self._deadline:
                raise UnansweredError(f"no {what} after {self._elapsed():.0f} s{why}")
            if time.monotonic() > self._spoken + _PROGRESS:
                self._tell(f"{self._elapsed():4.0f} s  {self.name}: no {what} yet{why}")
                self._spoken = time.monotonic()
            # An answer that takes long takes it from the instance that boots; one that never came takes nothing.
            time.sleep(max(_PAUSE, min(_PROGRESS, 2 * (time.monotonic() - begun))))

    def _elapsed(self) -> float:
        return time.monotonic() - self._origin


_STEPS: tuple[tuple[str, Callable[[_Course], str], tuple[Service, ...]], ...] = (
    # First what costs the cloud nothing while the instance boots.
    ("ping", _Course.ping, (neutron.DHCP, *_PORTS)),
    ("console log", _Course.console_log, (nova.COMPUTE,)),
    ("console", _Course.console, (nova.NOVA, nova.COMPUTE)),
    ("SSH", _Course.log_in, (neutron.METADATA, *_PORTS)),
    ("hostname", _Course.hostname, (neutron.METADATA,)),
    ("metadata", _Course.metadata, (neutron.METADATA, nova.NOVA)),
    ("DNS", _Course.dns, (neutron.DHCP,)),
)


def guest_script(address: str, dhcp_server: str) -> str:
    """What the instance is asked, in words that the smallest of systems knows."""
    name = f"host-{address.replace('.', '-')}"
    commands = [
        "hostname",
        f"fetch {_METADATA}/hostname",
        f"fetch {_METADATA}/public-keys/0/openssh-key",
        "cat .ssh/authorized_keys",
        "cat /etc/resolv.conf",
        f"domain=$(sed -n 's/^search *//p' /etc/resolv.conf); nslookup {name}${{domain:+.$domain}} {dhcp_server} 2>&1",
    ]
    fetch = 'fetch() { curl -sf "$1" 2>/dev/null || wget -q -O - "$1"; }\n'
    return fetch + f"\necho; echo {shlex.quote(_RULE)}\n".join(commands) + "\ntrue\n"


def read_guest(said: str) -> dict[str, str]:
    """What the instance printed."""
    parts = [part.strip() for part in said.split(f"\n{_RULE}\n")]
    names = ("hostname", "metadata hostname", "metadata key", "authorized keys", "resolv.conf", "nslookup")
    if len(parts) != len(names):
        raise UnansweredError(f"not understood: {said[-200:]!r}")
    return dict(zip(names, parts, strict=True))


def judge_metadata(told: Mapping[str, str], name: str) -> str:
    """What is right about the metadata that the instance got; FailedError if something is not."""
    hostname = told["metadata hostname"]
    if hostname.partition(".")[0] != name:
        raise FailedError(f"{_METADATA}/hostname is {hostname!r}, not {name!r}")
    key = told["public key"].split()[:2]
    if told["metadata key"].split()[:2] != key:
        raise FailedError(f"{_METADATA}/public-keys/0/openssh-key is {told['metadata key']!r}, not the key {KEY}")
    if key[1] not in told["authorized keys"].split():
        raise FailedError(f"the key {KEY} is not among {USER}'s authorized keys")
    return f"{_METADATA} tells the host name {hostname} and the key {KEY}, which {USER} has"


def judge_dns(told: Mapping[str, str], expected: Sequence[str], address: str) -> str:
    """What is right about the instance's DNS; FailedError if something is not."""
    lines = [line.split() for line in told["resolv.conf"].splitlines()]
    servers = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    if servers != list(expected):
        raise FailedError(f"/etc/resolv.conf names {', '.join(servers) or 'no server'}, not {', '.join(expected)}")
    _, _, answer = told["nslookup"].partition("Name:")
    if address not in answer.split():
        last = " ".join(told["nslookup"].split())
        raise FailedError(f"the DHCP server {told['DHCP server']} does not resolve the instance's name: {last}")
    name = answer.split()[0]
    return f"/etc/resolv.conf names {', '.join(servers)}; {told['DHCP server']} resolves {name} to {address}"


def run_on_guest(address: str, key: asyncssh.SSHKey, script: str, *, seconds: float = ATTEMPT_SECONDS) -> str:
    """Standard output of a script run in an instance; UnansweredError if it cannot be had."""

    async def run() -> str:
        # Its host key was made in its first boot: nobody can know it beforehand.
        async with (
            asyncio.timeout(seconds),
            asyncssh.connect(
                address, SSH_PORT, username=USER, client_keys=[key], known_hosts=None, config=None, agent_path=None
            ) as connection,
        ):
            return str((await connection.run(script, errors="replace")).stdout)

    try:
        return asyncio.run(run())
    except TimeoutError:
        raise UnansweredError(f"SSH to {address}: timed out") from None
    except (OSError, asyncssh.Error) as error:
        raise UnansweredError(f"SSH to {address}: {error}") from error


def _pings(address: str) -> bool:
    try:
        done = subprocess.run(["ping", "-n", "-c", "1", "-W", "2", address], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise FailedError("ping: not found; apt-get install iputils-ping") from error
    return done.returncode == 0


def _to_standard_error(line: str) -> None:
    print(f"    {line}", file=sys.stderr, flush=True)
