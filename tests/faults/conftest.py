"""One lab for all faults, a snapshot of it to begin each from, and the table of what came of them."""

import json
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.e2e.lab import CHECKOUT, STACK, Lab

START = "start"
"""Name of the snapshot."""

POOL = "172.16.100.10-172.16.101.250"
"""The default one has no room for all ports of the load."""

UP_SECONDS = 3600
DESTROY_SECONDS = 60
SNAPSHOT_SECONDS = 60


@dataclass
class Faulty:
    """A lab that was whole, what is wrong with it now, and a stop-watch. `seed` decides whatever is random."""

    lab: Lab
    seed: int
    results: list[tuple[str, str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def timed(self, fault: str, outcome: str) -> Iterator[None]:
        """Note how long the lab took to get over a fault."""
        begun = time.monotonic()
        yield
        self.results.append((fault, outcome, time.monotonic() - begun))

    def back(self) -> None:
        """Bring the lab back as it was before any fault."""
        self.lab.make("restore", f"NAME={START}", seconds=1200)

    def destroy(self, fault: str) -> None:
        """Destroy the lab with that fault in it: in time, and with nothing left of it, here or in the hypervisor."""
        with self.timed(fault, "destroyed"):
            self.lab.make("destroy", "YES=1", seconds=600)
        assert self.results[-1][-1] < DESTROY_SECONDS
        listings = (("list", "--all", "--name"), ("net-list", "--all", "--name"), ("vol-list", self.lab.pool()))
        assert [name for words in listings for name in self.lab.inside("virsh", "--quiet", *words).split()] == []
        assert {link["ifname"] for link in json.loads(self.lab.inside("ip", "-json", "link"))} == {"lo"}
        assert "172.16.0.0" not in self.lab.inside("iptables-save")
        assert [*(CHECKOUT / ".lab" / "openrc").glob(f"{STACK}/*"), *(CHECKOUT / ".lab").glob("login-*")] == []

    def wait_until_green(self, seconds: float) -> None:
        """Verify until all is right; AssertionError with what is not, or was not in that time."""
        begun = time.monotonic()
        assert self.wrong(patience=seconds) == []
        took = time.monotonic() - begun
        assert took < seconds, f"right only after {took:.0f} s"

    def wait_for_instance(self) -> None:
        """Ask the tenant's instance itself: Nova says ACTIVE of one that died with its host."""
        findings = self.lab.cloud("examine", "vm1")
        assert [finding for finding in findings if not finding["ok"]] == []

    def wrong(self, patience: float = 0) -> list[str]:
        """What `make verify` finds to be wrong, still after `patience` seconds."""
        with self.lab.making("verify", "JSON=1", f"PATIENCE={patience:.0f}") as process:
            output, _ = process.communicate(timeout=900 + patience)
        rows = json.loads(output[output.index("{\n") : output.rindex("}") + 1])["rows"]
        return [f"{row['check']} {row['subject']}: {row['detail']}" for row in rows if not row["ok"]]

    def planned(self) -> list[str]:
        """What `pulumi preview` would do."""
        return [f"{step['op']} {step['urn']}" for step in self.lab.preview()]


_FAULTY = pytest.StashKey[Faulty]()


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """The run's seed, by which it can be repeated: `make faults SEED=…`."""
    given = request.config.getoption("--seed")
    return int(given) if given else random.SystemRandom().randrange(10**6)


@pytest.fixture
def faulty(request: pytest.FixtureRequest, whole: Faulty) -> Iterator[Faulty]:
    """The lab, for one fault; a test that fails leaves nothing to the next one."""
    failed = request.session.testsfailed
    yield whole
    if request.session.testsfailed > failed:
        whole.back()


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest, settings: dict[str, str], seed: int) -> Iterator[Faulty]:
    """A lab, up and green, with a snapshot of that moment."""
    keep = request.config.getoption("--keep")
    lab = Lab({"allocationPool": POOL} | settings, keep=keep)
    faulty = request.config.stash[_FAULTY] = Faulty(lab, seed)
    shutil.rmtree(CHECKOUT / ".lab" / "backups", ignore_errors=True)  # of an earlier run
    if (CHECKOUT / ".lab" / "snapshots" / STACK / START).exists():
        faulty.back()
    else:
        with faulty.timed("none", "up and green"):
            lab.make("up", seconds=UP_SECONDS)
        with faulty.timed("none", "snapshot"):
            lab.make("snapshot", f"NAME={START}", seconds=300)
        assert faulty.results[-1][-1] < SNAPSHOT_SECONDS
    yield faulty
    if not keep:
        lab.make("clean", "YES=1", seconds=300)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what each fault led to, and after how long."""
    faulty = config.stash.get(_FAULTY, None)
    if faulty and faulty.results:
        terminalreporter.section(f"faults, stack {STACK}, SEED={faulty.seed}")
        for fault, outcome, seconds in faulty.results:
            terminalreporter.write_line(f"{fault:60} {outcome:24} {seconds:7.0f} s")
        for note in faulty.notes:
            terminalreporter.write_line(note)
