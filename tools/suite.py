"""`make test` and `make e2e`: every check runs, whatever the others say; the last line counts them all."""

import os
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Sequence
from pathlib import Path

from tools import engine, paths

_LONG = ("-vv", "--durations=0", "--durations-min=1")
"""Options for tests that take minutes."""

_CHECKS = {"format": "ruff format --check --quiet .", "lint": "ruff check --quiet .", "types": "mypy"}


def test(options: Sequence[str]) -> int:
    """Everything that needs no machine to boot."""
    passed = failed = 0
    for name, command in _CHECKS.items():
        print(f"==> {name}", flush=True)
        fine = subprocess.run([sys.executable, "-m", *command.split()], cwd=paths.CHECKOUT, check=False).returncode == 0
        passed, failed = passed + fine, failed + (not fine)
    # By file: the tests of a file may tell one story.
    side_by_side = ("--numprocesses", "auto", "--dist", "loadfile")
    return _pytest("test", ["-m", "not machine and not faults", *side_by_side, *options], passed, failed)


def e2e(options: Sequence[str]) -> int:
    """Everything that boots machines; it takes minutes, so it names what it is at and how long each took."""
    return _pytest("e2e", ["-m", "machine", *_LONG, *options], 0, 0)


def faults(options: Sequence[str]) -> int:
    """What the lab gets over, with a table of how long it took."""
    return _pytest("faults", ["-m", "faults", *_LONG, *options], 0, 0)


def _pytest(name: str, options: Sequence[str], passed: int, failed: int) -> int:
    print(f"==> {name}", flush=True)
    report = paths.LOGS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *options]
    # After Ctrl-C, too, it tells what it has found so far, and clears away its lab.
    status = engine.wait(command, os.environ)
    good, bad = count(report) if report.exists() else (0, 0)
    passed, failed = passed + good, failed + bad
    if status and not bad:
        failed += 1
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def count(report: Path) -> tuple[int, int]:
    """Passed and failed tests of a JUnit report; one that was skipped is neither."""
    suites = xml.etree.ElementTree.parse(report).getroot().iter("testsuite")
    passed = failed = 0
    for suite in suites:
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        passed += int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0))
        failed += bad
    return passed, failed
