"""What machines that have just booted start by themselves: an update that needs it has to come after.

The engine knows that a service was started, and asks no more. A provider that finds no Keystone where it was started
fails the whole update.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.config import Config
from components.services.model import Site
from components.topology import Node, Role
from tools import stack, stack_values
from tools.verify import ask, nodes
from tools.verify.model import UnansweredError

BOOT_SECONDS = 600
"""After so long a machine has started what it is going to."""

PAUSE = 5
SECONDS = 60
"""Limit of a node's answer."""


def main(argv: Sequence[str]) -> int:
    """Wait until every API that was started once answers, or no machine is booting any more; 1 if one is silent."""
    parser = argparse.ArgumentParser(prog="python -m tools booted")
    parser.add_argument("--stack", required=True)
    name = parser.parse_args(argv).stack
    config = stack_values.complete(name)
    apis = started(config.site, stack.resources(name))

    def booting() -> bool:
        with ThreadPoolExecutor() as pool:
            return any(pool.map(lambda node: boots(node, config), starting(config)))

    return 1 if wait(lambda: ask.silent(apis), booting) else 0


def started(site: Site, resources: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """URLs by service of the APIs that the engine has started on any node."""
    names = {resource["urn"].rpartition("::")[2] for resource in resources}
    return {
        service.name: site.url(service.endpoint)
        for service in site.catalogue
        if service.endpoint
        and any(f"{service.name}-{node.name}-start" in names for node in service.nodes(site.topology))
    }


def starting(config: Config) -> list[Node]:
    """The nodes that an API needs."""
    return [node for node in config.site.topology.nodes if set(node.roles) - {Role.COMPUTE}]


def boots(node: Node, config: Config) -> bool:
    """Whether a machine was switched on or reset a short while ago; one that says nothing is taken for that."""
    try:
        uptime = nodes.run(node, "cut --delimiter=' ' --fields=1 /proc/uptime", config.secrets, seconds=SECONDS)
    except UnansweredError:
        return True
    return float(uptime) < BOOT_SECONDS


def wait(silent: Callable[[], list[str]], booting: Callable[[], bool]) -> list[str]:
    """Ask until nobody is silent or nothing boots, for BOOT_SECONDS at most; tells whenever that changes."""
    begun, told = time.monotonic(), [""]
    while missing := silent():
        took = time.monotonic() - begun
        if missing != told:
            print(f"    no answer yet: {', '.join(missing)} ({took:.0f} s)", flush=True)
            told = missing
        if took > BOOT_SECONDS or not booting():
            break
        time.sleep(PAUSE)
    return missing
