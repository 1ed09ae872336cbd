"""What brings a lab back that somebody changed by hand: the resources of its program that `make verify` finds wrong."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from tools import paths, stack
from tools.hypervisor import Hypervisor
from tools.steps import StepError

Row = Mapping[str, Any]
"""A row of `make verify JSON=1`."""

_OPENSTACK = "openstack:"


def wrong(host: Hypervisor, stack_name: str) -> list[Row]:
    """The rows of verify that are not right; StepError if it does not get so far."""
    command = host.verb(stack_name, "verify", "--json")
    done = subprocess.run(command, cwd=paths.CHECKOUT, capture_output=True, text=True, check=False)
    try:
        rows: list[Row] = json.loads(done.stdout)["rows"]
    except ValueError as error:
        raise StepError(f"verify: {done.stderr.strip()[-1000:]}") from error
    return [row for row in rows if not row["ok"]]


def line(row: Row) -> str:
    """A wrong row in words, with where to look if nothing here mends it."""
    return f"{row['check']} {row['subject']}: {row['detail']}" + ("" if row["repairs"] else f"; look {row['hint']}")


def resources(stack_name: str, rows: Iterable[Row]) -> list[str]:
    """URNs of what mends these rows, in the order in which the program makes them; StepError for what it never made."""
    names = {name for row in rows for name in row["repairs"]}
    found = {urn.rpartition("::")[2]: urn for urn in (each["urn"] for each in stack.resources(stack_name))}
    unknown = sorted(names - found.keys())
    if unknown:
        raise StepError(f"stack {stack_name} has no {', '.join(unknown)} yet", f"make up STACK={stack_name}")
    return [urn for name, urn in found.items() if name in names]


def targets(urns: Iterable[str]) -> list[str]:
    """Options for an update of these alone.

    Commands are run anew; the OpenStack provider finds out by itself what has become of its objects.
    """
    return [
        word for urn in urns for word in ("--target", urn, *(() if f"${_OPENSTACK}" in urn else ("--replace", urn)))
    ]
