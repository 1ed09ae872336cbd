"""`make verify`: asks a running lab, from the operator's machine, whether everything is as the stack says."""

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Ask everything at once and print a table, or JSON; 0 if all is right, 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="verify", description="ask a running lab whether everything is right")
    parser.add_argument("--stack", default="lab", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    arguments = parser.parse_args(argv)

    # They import the clients of OpenStack and SSH, which takes a second that `make status` and others spare.
    from tools import paths, stack_values
    from tools.verify import ask, checks, report

    begun = time.monotonic()
    config = stack_values.complete(arguments.stack)
    answers = ask.everything(config, paths.STATE / "openrc" / arguments.stack)
    rows = checks.rows(config, answers)
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
