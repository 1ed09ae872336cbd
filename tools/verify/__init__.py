"""`make verify`: asks a running lab, from the operator's machine, whether everything is as the stack says."""

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.config import Config
    from tools.verify.model import Row

PAUSE = 10
"""Seconds between two times that all is asked."""


def main(argv: Sequence[str]) -> int:
    """Ask everything at once and print a table, or JSON; 0 if all is right, 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="verify", description="ask a running lab whether everything is right")
    parser.add_argument("--stack", default="lab", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--instance", action="store_true", help="boot an instance, too, and delete it: minutes")
    parser.add_argument(
        "--patience", type=float, default=0, metavar="SECONDS", help="how long a lab may take to come right by itself"
    )
    arguments = parser.parse_args(argv)

    # They import the clients of OpenStack and SSH, which takes a second that `make status` and others spare.
    from tools import paths, stack_values
    from tools.verify import checks, instance, report

    begun = time.monotonic()
    config = stack_values.complete(arguments.stack)
    clients = paths.CLIENTS / arguments.stack
    rows = _rows(config, clients, arguments.patience)
    if arguments.instance:
        # So that it is deleted even then.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        rows += checks.named("instance test", instance.run(config, clients))
    seconds = round(time.monotonic() - begun, 1)
    ok = all(row.ok for row in rows)
    if arguments.json:
        found = {
            "stack": arguments.stack,
            "ok": ok,
            "seconds": seconds,
            "rows": [dataclasses.asdict(row) for row in rows],
        }
        print(json.dumps(found, indent=2))
    else:
        report.show(rows, seconds)
    return 0 if ok else 1


def _rows(config: "Config", clients: Path, patience: float) -> "list[Row]":
    """What is found once all is right, or patience is over, or something is wrong that no waiting mends."""
    from tools.verify import ask, checks

    begun, urls = time.monotonic(), ask.endpoint_urls(config.site)
    answers = None
    while True:
        answers = ask.everything(config, clients, answers)
        rows = checks.rows(config, answers)
        wrong = [row for row in rows if not row.ok]
        seconds = time.monotonic() - begun
        if not wrong or seconds >= patience or any(row.lasts for row in wrong):
            return rows
        named = ", ".join(f"{row.check} {row.subject}" for row in wrong)
        _tell(f"{len(wrong)} wrong after {seconds:.0f} s, asked again for {patience:.0f} s at the most: {named}")
        time.sleep(PAUSE)
        # A lab that boots needs its processors itself.
        while (silent := ask.silent(urls)) and (seconds := time.monotonic() - begun) < patience:
            _tell(f"no answer after {seconds:.0f} s: {', '.join(silent)}")
            time.sleep(PAUSE)


def _tell(progress: str) -> None:
    print(f"    {progress}", file=sys.stderr, flush=True)
