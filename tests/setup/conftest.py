"""Checkouts of the tests' own: their names, ports and files follow their path, so nothing of the developer's is met."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import checkout as checkouts


@dataclass(frozen=True)
class Checkout:
    """A copy of the working tree's code without its state."""

    path: Path

    def python(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in the checkout; its output holds standard output and error."""
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.path,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def ask(self, expression: str, package: str = "tools") -> str:
        """Value, as text, of an expression that begins with a module of the package."""
        module = expression.partition(".")[0]
        done = self.python(f"from {package} import {module}; print({expression})")
        assert done.returncode == 0, done.stdout
        return done.stdout.strip().splitlines()[-1]

    def inside(self, command: str) -> str:
        """Standard output of a shell command run where the lab's addresses are known; the hypervisor is started."""
        done = subprocess.run(
            [sys.executable, "-m", "tools.hypervisor", "sh", "-ec", command],
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.split("\n", 2)[2]

    def clean(self) -> None:
        """What `make clean` does to the hypervisor."""
        done = self.python("from tools import hypervisor; hypervisor.clean()")
        assert done.returncode == 0, done.stdout


def copy(path: Path) -> Checkout:
    """Copy the working tree as it is before any set-up."""
    path.mkdir()
    checkouts.copy_to(path)
    (path / ".venv").unlink()
    return Checkout(path)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout of the test's own."""
    made = copy(tmp_path / "checkout")
    yield made
    made.clean()


@pytest.fixture
def second_checkout(tmp_path: Path) -> Iterator[Checkout]:
    """Another one on the same machine."""
    made = copy(tmp_path / "second")
    yield made
    made.clean()
