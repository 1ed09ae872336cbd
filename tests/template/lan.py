"""A network of its own for tests that boot machines: a namespace with a bridge, reached from nowhere else."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

GATEWAY = "172.31.77.1"
PREFIX = f"{GATEWAY}/24"


def address(host: int) -> str:
    """Address of the machine with that number."""
    return f"172.31.77.{host}"


@dataclass
class Lan:
    """A namespace with a bridge; what was started in it ends with it."""

    name: str
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def inside(self, *command: str | Path) -> list[str]:
        """The command as it has to be called to run in the namespace."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def start(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a process in the namespace."""
        process = subprocess.Popen(self.inside(*command), stdin=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def python(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Python program in the namespace."""
        return self.start(sys.executable, "-c", program, *arguments)

    def tap(self, name: str) -> str:
        """Make a tap interface on the bridge for one machine."""
        self.run("ip", "tuntap", "add", name, "mode", "tap")
        self.run("ip", "link", "set", name, "master", "bridge", "up")
        return name

    def run(self, *command: str | Path, timeout: float = 60) -> str:
        """Run a command in the namespace and return what it prints; fail the test if it fails."""
        result = subprocess.run(self.inside(*command), capture_output=True, text=True, check=False, timeout=timeout)
        assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout


@contextmanager
def lan(name: str) -> Iterator[Lan]:
    """Make the network, and take it away with everything in it."""
    network = Lan(name)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        network.run("ip", "link", "set", "lo", "up")
        network.run("ip", "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        network.run("ip", "address", "add", PREFIX, "dev", "bridge")
        network.run("ip", "link", "set", "bridge", "up")
        yield network
    finally:
        for process in reversed(network.started):
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "delete", name], check=True)


def machine(network: Lan, disk: Path, console: Path, *extra: str, number: int, memory: int, cpu: str) -> list[str]:
    """QEMU's command for an emulated machine whose first NIC is on the network."""
    tap = network.tap(f"tap{number}")
    return [
        *("qemu-system-x86_64", "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", cpu, "-smp", "2"),
        *("-m", str(memory), "-nodefaults", "-no-user-config", "-display", "none", "-serial", f"file:{console}"),
        *("-drive", f"file={disk},if=virtio,cache=unsafe"),
        *("-netdev", f"tap,id=nic{number},ifname={tap},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=nic{number},mac=52:54:00:77:00:{number:02x}"),
        *extra,
    ]


def wait_for(what: str, done: Callable[[], bool], seconds: float, console: Path) -> float:
    """Wait until `done` says so; return how long it took. On failure, show the end of the machine's console."""
    begun = time.monotonic()
    while not done():
        elapsed = time.monotonic() - begun
        assert elapsed < seconds, f"{what}: not after {seconds:.0f} s; console:\n{_tail(console)}"
        time.sleep(0.5)
    return time.monotonic() - begun


def ssh(network: Lan, key: Path, login: str, command: str) -> Sequence[str]:
    """Run a command over SSH; return the lines it prints, or none if it cannot be reached."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=5")
    arguments = [word for option in options for word in ("-o", option)]
    result = subprocess.run(
        network.inside("ssh", "-q", "-i", key, *arguments, login, command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return result.stdout.splitlines() if result.returncode == 0 else []


def _tail(console: Path) -> str:
    return "\n".join(console.read_text(errors="replace").splitlines()[-20:]) if console.exists() else "(empty)"
