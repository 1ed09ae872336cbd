"""Continuous integration on a bare machine: the Makefile's TARGETS; ends with one line that counts them all."""

import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
TARGETS = ("test", "e2e")
COUNTS = re.compile(r"(\d+) passed, (\d+) failed")


def run(target: str) -> tuple[int, int]:
    """Run a target of the Makefile, show what it says, and return how many passed and failed by its last line."""
    print(f"### make {target}", flush=True)
    last = ""
    with subprocess.Popen(
        ["make", target],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            # After a failure, make itself has the last word.
            last = line if COUNTS.fullmatch(line.strip()) else last
    counts = COUNTS.fullmatch(last.strip())
    passed, failed = map(int, counts.groups()) if counts else (0, 0)
    return passed, max(failed, process.returncode != 0)


def main() -> int:
    """Run all targets, each whatever the others say."""
    results = [run(target) for target in TARGETS]
    passed, failed = (sum(column) for column in zip(*results, strict=True))
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
