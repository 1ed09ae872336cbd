"""Where everything lies. Everything a checkout owns is under `.lab/`; what checkouts share is in the cache."""

import hashlib
import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

LAB_ID = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:6]
"""Six hex digits that follow the checkout's path, so that two checkouts never share a name on one machine."""

NAME = f"oslab-{LAB_ID}"
"""Name of this checkout's network namespace and storage pool."""

STATE = CHECKOUT / ".lab"
LOGS = STATE / "log"
HOST_FACTS = STATE / "host.json"
"""What set-up found out about this machine, read by the program (see `components/config.py`)."""

CLIENTS = STATE / "openrc"
"""Client environment files and the tenant's key, a directory for each stack; written by the program."""

TIMINGS = LOGS / "bootstrap.json"
"""How long the steps took that ran before the virtual environment was there."""

VENV = CHECKOUT / ".venv"
RUN = Path("/run") / NAME
"""Sockets and pid files; short, since a Unix socket's path holds 107 characters at most."""


def cache() -> Path:
    """Directory of downloads and builds, shared by all checkouts, one entry a version."""
    override = os.environ.get("OPENSTACK_LAB_CACHE")
    if override:
        return Path(override)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "openstack-lab"
