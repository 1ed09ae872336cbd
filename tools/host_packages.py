"""Debian packages that the machine needs: `packages.txt` names them, `packages-dev.txt` those that only tests need.

apt installs what is missing.

Standard library only: it runs before the virtual environment exists.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import paths, steps
from tools.steps import StepError

LIST = paths.CHECKOUT / "tools" / "packages.txt"
DEVELOPMENT_LIST = LIST.with_name("packages-dev.txt")

_POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian's switch that keeps packages from starting daemons: a script that ends with 101."""
_MARK = "# openstack-lab\n"


def wanted(*lists: Path) -> list[str]:
    """Names of all packages in the lists."""
    lines = (line.split("#")[0].strip() for file in lists for line in file.read_text().splitlines())
    return [line for line in lines if line]


def missing(names: Sequence[str]) -> list[str]:
    """Those of `names` that are not installed."""
    if not shutil.which("dpkg-query"):
        raise StepError(
            "this is no Debian: dpkg-query is not there, so packages cannot be installed for you",
            f"set-up runs on Debian 12; {LIST.relative_to(paths.CHECKOUT)} lists what it needs and why",
        )
    query = ["dpkg-query", "--show", "--showformat", "${binary:Package} ${db:Status-Status}\n", *names]
    lines = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    installed = {name.partition(":")[0] for name, status in map(str.split, lines) if status == "installed"}
    return [name for name in names if name not in installed]


def ensure(*, development: bool = False) -> None:
    """Install what is missing; with `development` what tests need, too."""
    names = missing(wanted(LIST, *([DEVELOPMENT_LIST] if development else [])))
    with steps.step("packages", "what the machine needs of Debian's packages") as step:
        if not names:
            step.skip("all there")
            return
        by_hand = f"as root: apt-get install {' '.join(names)}"
        if os.geteuid() != 0:
            raise StepError(f"packages missing: {' '.join(names)}; only root can install them", by_hand)
        with steps.lock(paths.cache() / "packages.lock"), _no_daemons():
            # A source out of reach need not matter: whether the packages can be had shows below.
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(
                ["apt-get", "update", "-qq"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env=environment,
            )
            steps.run(
                ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600", *names],
                log="packages",
                timeout=1800,
                env=environment,
                remedy=by_hand,
            )
        step.skip(f"installed {' '.join(names)}")


@contextmanager
def _no_daemons() -> Iterator[None]:
    """Keep packages from starting daemons where no systemd looks after them; elsewhere Debian's habit stands."""
    if Path("/run/systemd/system").exists():
        yield
        return
    if _POLICY.exists() and _MARK not in _POLICY.read_text():
        yield
        return
    _POLICY.write_text(f"#!/bin/sh\n{_MARK}exit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
