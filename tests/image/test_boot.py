"""The image that set-up builds: real guests, each on a network of its own with DHCP and a metadata service."""

import asyncio
import ctypes
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import asyncssh
import pytest

from tools.image import build

pytestmark = pytest.mark.machine

BOOT_SECONDS = 180
"""Emulation takes some 10 s of it on an idle machine."""

METADATA = "169.254.169.254"
ADDRESS = "192.0.2.50"
HOSTNAME = "first-instance"

_CLONE_NEWNET = 0x40000000

Command = Sequence[str | Path]
T = TypeVar("T")


class Network:
    """A network namespace that ends with the process that holds it."""

    def __init__(self, holder: int) -> None:
        self._file = Path(f"/proc/{holder}/ns/net")

    def command(self, *words: str | Path) -> Command:
        """The command line that runs `words` in it."""
        return ["nsenter", f"--net={self._file}", *words]

    def run(self, *words: str) -> None:
        subprocess.run(self.command(*words), check=True)

    def inside(self, call: Callable[[], T]) -> T:
        """Result of a call made in it, by a thread, since a thread can enter it alone."""
        results: list[T | BaseException] = []

        def enter() -> None:
            with self._file.open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    results.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                results.append(call())
            except BaseException as error:
                results.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        [result] = results
        if isinstance(result, BaseException):
            raise result
        return result


class Guest:
    """A running guest."""

    def __init__(self, network: Network, directory: Path, process: "subprocess.Popen[bytes]", began: float) -> None:
        self.network = network
        self.console = directory / "console.log"
        self.process = process
        self.began = began
        self._monitor = directory / "monitor"

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Where the console's output matches the pattern."""
        end = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(pattern, self.output())
            if found:
                return found
            time.sleep(0.2)
        last = "\n".join(self.output().splitlines()[-40:])
        raise AssertionError(f"{pattern!r} is not on the console, whose last lines are:\n{last}")

    def output(self) -> str:
        return self.console.read_text(errors="replace")

    def type(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def press_power_button(self) -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self._monitor))
            link.sendall(b"system_powerdown\n")
            said = b""
            while said.count(b"(qemu) ") < 2:  # the second prompt comes when it is done
                said += link.recv(4096)

    def ssh(self, command: str, *, host_key: str = "ssh-ed25519", **options: object) -> str:
        """Standard output of a command run by SSH, with a type of host key asked for."""

        async def run() -> str:
            fixed = {"known_hosts": None, "config": None, "agent_path": None, "login_timeout": 60}
            async with asyncssh.connect(ADDRESS, server_host_key_algs=[host_key], **fixed, **options) as connection:
                done = await connection.run(command, check=True, timeout=60)
                return str(done.stdout).strip()

        return self.network.inside(lambda: asyncio.run(run()))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("image")
    file = directory / "image.qcow2"
    build.make(file, work=directory, remedy="the machine's mirror has to answer")
    return file


@pytest.fixture(scope="module")
def key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519", comment="a user's key")


@contextmanager
def booted(image: Path, directory: Path, *, routes: Sequence[str], public_key: str = "") -> Iterator[Guest]:
    """Boot a guest between DHCP that hands out `routes` (arguments of dnsmasq) and a metadata service."""
    with ExitStack() as stack:

        def start(
            command: Sequence[str | Path], log: str, stdin: int = subprocess.DEVNULL
        ) -> "subprocess.Popen[bytes]":
            out = stack.enter_context((directory / log).open("wb"))
            process = subprocess.Popen(command, stdout=out, stdin=stdin, stderr=subprocess.STDOUT)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        network = Network(start(["unshare", "--net", "sleep", "infinity"], "holder.log").pid)
        while Path(network._file).readlink() == Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)
        network.run("ip", "tuntap", "add", "tap0", "mode", "tap")
        for address in ("192.0.2.1/24", "192.0.2.2/24", f"{METADATA}/32"):
            network.run("ip", "address", "add", address, "dev", "tap0")
        for link in ("lo", "tap0"):
            network.run("ip", "link", "set", link, "up")
        began = time.monotonic()
        machine: Command = [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg", "-m", "192"),
            *("-drive", f"file={image},if=virtio,snapshot=on", "-vga", "std", "-serial", "stdio"),
            *("-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no", "-device", "virtio-net-pci,netdev=net0"),
            *("-monitor", f"unix:{directory / 'monitor'},server=on,wait=off"),
        ]
        process = start(network.command(*machine), "console.log", stdin=subprocess.PIPE)
        tree = directory / "web/latest/meta-data"
        tree.mkdir(parents=True)
        (tree / "hostname").write_text(f"{HOSTNAME}.novalocal")
        (tree / "index.html").write_text("hostname\ninstance-id")
        if public_key:
            (tree / "index.html").write_text("hostname\ninstance-id\npublic-keys/")
            (tree / "public-keys/0").mkdir(parents=True)
            (tree / "public-keys/0/openssh-key").write_text(public_key)
        web: Command = [
            sys.executable,
            "-m",
            "http.server",
            "80",
            "--bind",
            METADATA,
            "--directory",
            directory / "web",
        ]
        start(network.command(*web), "metadata.log")
        dhcp: Command = [
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--port=0"),
            *("--interface=tap0", "--bind-interfaces", f"--dhcp-range={ADDRESS},{ADDRESS},255.255.255.0"),
            *(f"--dhcp-leasefile={directory / 'leases'}", "--dhcp-option=option:dns-server,192.0.2.53"),
            *("--dhcp-option=option:mtu,1450", "--log-facility=-", "--log-dhcp", *routes),
        ]
        start(network.command(*dhcp), "dhcp.log")
        yield Guest(network, directory, process, began)


@pytest.fixture(scope="module")
def guest(image: Path, key: asyncssh.SSHKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest as Neutron has it: all routes by option 121, and a key."""
    routes = [
        "--dhcp-option=option:router,192.0.2.99",
        f"--dhcp-option=option:classless-static-route,{METADATA}/32,192.0.2.2,0.0.0.0/0,192.0.2.1",
    ]
    public = key.export_public_key().decode()
    with booted(image, tmp_path_factory.mktemp("guest"), routes=routes, public_key=public) as guest:
        yield guest


def test_it_says_what_it_is_when_it_is_ready(guest: Guest) -> None:
    guest.wait_for(rf"\n=== ready: hostname {HOSTNAME}, address {ADDRESS}/24, key yes ===\n")
    print(f"ready after {time.monotonic() - guest.began:.1f} s")


def test_the_key_opens_it_for_both_users(guest: Guest, key: asyncssh.SSHKey) -> None:
    for user in ("cirros", "root"):
        assert guest.ssh("hostname; whoami", username=user, client_keys=[key]) == f"{HOSTNAME}\n{user}"


@pytest.mark.parametrize("host_key", ["ecdsa-sha2-nistp256", "rsa-sha2-256"])
def test_clients_that_insist_on_another_host_key_get_it(guest: Guest, key: asyncssh.SSHKey, host_key: str) -> None:
    assert guest.ssh("hostname", username="cirros", client_keys=[key], host_key=host_key) == HOSTNAME


def test_no_password_opens_it_by_ssh(guest: Guest) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        guest.ssh("true", username="cirros", password="gocubsgo", client_keys=None)


def test_no_other_key_opens_it(guest: Guest) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        guest.ssh("true", username="cirros", client_keys=[asyncssh.generate_private_key("ssh-ed25519")])


def test_classless_routes_stand_in_place_of_the_router(guest: Guest, key: asyncssh.SSHKey) -> None:
    routes = guest.ssh("ip route", username="cirros", client_keys=[key]).splitlines()
    assert [" ".join(route.split()) for route in routes] == [
        "default via 192.0.2.1 dev eth0",
        f"{METADATA} via 192.0.2.2 dev eth0",
        f"192.0.2.0/24 dev eth0 scope link src {ADDRESS}",
    ]


def test_name_server_and_mtu_come_by_dhcp(guest: Guest, key: asyncssh.SSHKey) -> None:
    script = "cat /etc/resolv.conf /sys/class/net/eth0/mtu"
    assert guest.ssh(script, username="cirros", client_keys=[key]).splitlines() == ["nameserver 192.0.2.53", "1450"]


def test_an_ordinary_user_can_ping(guest: Guest, key: asyncssh.SSHKey) -> None:
    assert "1 packets received" in guest.ssh("ping -c 1 192.0.2.1", username="cirros", client_keys=[key])
    assert guest.ssh("busybox id -u", username="cirros", client_keys=[key]) == "1000"


def test_an_ordinary_user_cannot_read_the_passwords(guest: Guest, key: asyncssh.SSHKey) -> None:
    script = "cat /etc/shadow 2>&1 || cat /etc/passwd"
    lines = guest.ssh(script, username="cirros", client_keys=[key]).splitlines()
    assert lines[0] == "cat: can't open '/etc/shadow': Permission denied"
    assert lines[-1].startswith("cirros:x:1000:")


def test_the_password_opens_its_console(guest: Guest) -> None:
    guest.wait_for(r"ready:")
    guest.type("cirros")
    guest.wait_for("Password: ")
    guest.type("gocubsgo")
    guest.wait_for(r"\n~ \$ ")
    guest.type("echo this is $(whoami) on $(tty)")
    guest.wait_for(r"\nthis is cirros on /dev/ttyS0")


def test_the_power_button_turns_it_off(guest: Guest) -> None:
    guest.wait_for(r"ready:")
    guest.press_power_button()
    assert guest.process.wait(timeout=60) == 0
    assert "Power down" in guest.output()


def test_without_routes_and_key_it_finds_the_metadata_service_on_its_link(image: Path, tmp_path: Path) -> None:
    with booted(image, tmp_path, routes=["--dhcp-option=option:router"]) as guest:
        guest.wait_for(rf"\n=== ready: hostname {HOSTNAME}, address {ADDRESS}/24, key no ===\n")
