"""A checkout of its own with a lab of its own, used as a user would: by `make`."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests import checkout
from tools import paths

STACK = "compact"
NODES = ("controller1", "node1")
CANARY = "song-of-a-canary"
"""Word of a command that ends at once: whoever watches has to have heard it."""
WATCH = Path(__file__).with_name("watch.sh")
CHECKOUT = paths.STATE / "e2e" / "checkout"
IN_SHELL = (str(paths.VENV / "bin" / "python"), "-m", "tools", "--stack", STACK, "shell")
MAKES_OWN = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL")
"""Variables by which a `make` tells those under it that they are."""


@dataclass
class Processes:
    """Every command line seen while somebody looked: on this machine, and on each node."""

    seen: set[str] = field(default_factory=set)
    on_nodes: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at the process list five times a second."""
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done,))
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(0.2):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    self.seen.add(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))


@contextmanager
def in_session(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process in the lab's checkout and a session of its own, which ends with the block at the latest."""
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        **{"stdin": subprocess.DEVNULL, **options},
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


class Lab:
    """The checkout at CHECKOUT: the tracked files of this one as they stand, its own state, the shared cache."""

    def __init__(self, settings: Mapping[str, str] | None = None, *, keep: bool = False) -> None:
        """Make the checkout; what an earlier run left in its place is taken away by its own tools, unless it is kept.

        `settings` are laid over those of the stack: key without namespace -> value.
        """
        if (CHECKOUT / ".venv").exists() and not keep:
            self.make("clean", "YES=1", seconds=300)
        if CHECKOUT.exists() and not keep:
            shutil.rmtree(CHECKOUT)
        file = CHECKOUT / f"Pulumi.{STACK}.yaml"
        kept = file.read_text() if file.exists() else ""
        checkout.copy_to(CHECKOUT)
        if kept:
            # With the secrets of the lab that is there.
            file.write_text(kept)
        elif settings:
            stack = yaml.safe_load(file.read_text())
            stack["config"] |= {f"openstack-lab:{key}": value for key, value in settings.items()}
            file.write_text(yaml.safe_dump(stack, sort_keys=False))

    def make(self, target: str, *variables: str, seconds: float) -> str:
        """`make TARGET STACK=compact`, unless a variable names another stack; its output. Fails with the last lines."""
        with self.making(target, *variables) as process:
            output, _ = process.communicate(timeout=seconds)
        assert process.returncode == 0, f"make {target}: {process.returncode}\n{output[-6000:]}"
        return output

    @contextmanager
    def making(self, target: str, *variables: str) -> Iterator[subprocess.Popen[str]]:
        """`make TARGET` in a session of its own, which ends with the block at the latest."""
        # As from a terminal: nothing of the `make` that runs the tests.
        environment = {name: value for name, value in os.environ.items() if name not in MAKES_OWN}
        command = ["make", target, f"STACK={STACK}", *variables]
        with in_session(command, env=environment, stderr=subprocess.STDOUT) as process:
            yield process

    def inside(self, *words: str, seconds: float = 120) -> str:
        """Output of a command in the lab's shell, which ends after that time with all that it began."""
        with in_session([*IN_SHELL, *words], stderr=subprocess.PIPE) as process:
            output, errors = process.communicate(timeout=seconds)
        assert process.returncode == 0, f"{' '.join(words)}: {output[-2000:]}\n{errors[-4000:]}"
        # Set-up's own steps come first.
        return re.sub(r"\A(?:(?:==>|    ).*\n)*", "", output)

    @contextmanager
    def probed(self) -> Iterator[dict[str, Any]]:
        """Ask every API meanwhile; what tests/faults/probe.py says of that is there afterwards."""
        command = [*IN_SHELL, "python", "-m", "tests.faults.probe", STACK]
        found: dict[str, Any] = {}
        with in_session(command, stdin=subprocess.PIPE) as process:
            wait_for_line(process, "asking", 120)
            yield found
            output, _ = process.communicate(timeout=300)
        found |= json.loads(output)

    def pool(self) -> str:
        """Name of its storage pool."""
        name: str = json.loads((CHECKOUT / ".lab" / "host.json").read_text())["pool"]
        return name

    def on(self, node: str, script: str) -> str:
        """Output of a script run as root on a node."""
        return self.inside("python", "-m", "tests.e2e.on_node", STACK, node, script)

    def watch_processes(self) -> None:
        """Note every command line on every node until `processes` is called."""
        start = "systemd-run --quiet --unit=watch --property=StandardOutput=file:/run/watched bash /run/watch.sh"
        for node in NODES:
            self.on(node, f"cat >/run/watch.sh <<'END'\n{WATCH.read_text()}END\n{start}")

    def processes(self, node: str) -> str:
        """Every command line that was seen on a node since `watch_processes`; also what is over at once has to be."""
        end = "echo 0 >events/lab/exec/enable; echo >kprobe_events"
        shown = self.on(
            node,
            f"/bin/echo {CANARY} >/dev/null; sleep 1; cd /sys/kernel/tracing; systemctl stop watch; {end}"
            "; cat /run/watched; rm /run/watched /run/watch.sh",
        )
        assert f'w1="{CANARY}"' in shown, f"{node}: a command was not seen"
        return shown

    def preview(self, stack: str = STACK) -> list[dict[str, Any]]:
        """The steps of `pulumi preview` that are not `same`."""
        output = self.inside("pulumi", "preview", "--stack", stack, "--json", "--non-interactive")
        steps: list[dict[str, Any]] = json.loads(output[output.index("{") :])["steps"]
        return [step for step in steps if step["op"] != "same"]

    def resources(self) -> int:
        """How many resources there are whose making the engine tells of; components are not among them."""
        output = self.inside("pulumi", "stack", "export", "--stack", STACK)
        entries = json.loads(output[output.index("{") :])["deployment"]["resources"]
        return sum(entry.get("custom", False) for entry in entries)

    def started(self) -> dict[str, str]:
        """`node unit` -> start time, for every service that runs on any node."""
        script = "systemctl show -p Id -p ExecMainStartTimestampMonotonic $("
        script += "systemctl list-units --type=service --state=running --plain --no-legend | cut -d' ' -f1)"
        started = {}
        for node in NODES:
            for unit in self.on(node, script).split("\n\n"):
                properties = dict(line.split("=", 1) for line in unit.splitlines())
                started[f"{node} {properties['Id']}"] = properties["ExecMainStartTimestampMonotonic"]
        return started

    def up(self, seconds: float = 1500) -> str:
        """Plain `pulumi up`; its output. Fails as it does."""
        words = ["pulumi", "up", "--stack", STACK, "--yes", "--skip-preview", "--non-interactive"]
        return self.inside(*words, seconds=seconds)

    def cloud(self, *words: str, seconds: float = 1200) -> Any:
        """Do something with servers; returns what `on_cloud` prints."""
        output = self.inside("python", "-m", "tests.e2e.on_cloud", STACK, *words, seconds=seconds)
        return json.loads(output.splitlines()[-1])

    def switch(self, node: str, *, on: bool) -> None:
        """Set a node's `enabled` in the stack's configuration."""
        file = CHECKOUT / f"Pulumi.{STACK}.yaml"
        settings = yaml.safe_load(file.read_text())
        settings["config"]["openstack-lab:nodes"][node]["enabled"] = on
        file.write_text(yaml.safe_dump(settings, sort_keys=False))

    def set_instance(self, *, on: bool) -> None:
        """Set whether the tenant has an instance."""
        self.inside("pulumi", "config", "set", "instance", str(on).lower(), "--stack", STACK)

    def set_option(self, value: str) -> None:
        """Set `debug` of Glance in the stack's configuration; an empty value takes it out again."""
        path = f'{"openstack-lab:options"}.glance["glance-api.conf"].DEFAULT.debug'
        verb = ["set", "--path", path, value] if value else ["rm", "--path", path]
        self.inside("pulumi", "config", *verb, "--stack", STACK)

    def secrets(self) -> set[str]:
        """Every password and private key of the lab, and the master secret."""
        return set(json.loads(self.inside("python", "-m", "tests.e2e.on_node", STACK)))


def engine_of(session: int) -> dict[int, str]:
    """The engine and its plugins in a session of processes, but not the program: names by process."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ProcessLookupError, ValueError):
            name = (process / "comm").read_text().strip()
            if os.getsid(int(process.name)) == session and name.startswith("pulumi"):
                found[int(process.name)] = name
    return found


def kill_engine_of(session: int) -> list[str]:
    """SIGKILL the engine and its plugins; returns their names."""
    killed = engine_of(session)
    for process in killed:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return list(killed.values())


def wait_for_line(process: subprocess.Popen[str], pattern: str, seconds: float, count: int = 1) -> None:
    """Read a process's output until so many lines have matched."""
    assert process.stdout
    deadline = time.monotonic() + seconds
    lines, matched = [], 0
    for line in process.stdout:
        lines.append(line)
        matched += bool(re.search(pattern, line))
        if matched == count:
            return
        last = "".join(lines[-40:])
        assert time.monotonic() < deadline, f"{matched} of {count} {pattern!r} within {seconds:.0f} s:\n{last}"
    last = "".join(lines[-40:])
    raise AssertionError(f"the process ended after {matched} of {count} {pattern!r}:\n{last}")
