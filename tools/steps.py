"""Set-up steps: each says what it does and how long it took; a failing one says how to get past it.

Standard library only: it runs before the virtual environment exists.
"""

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tools import paths

LAST_LINES = 25


class Timing(NamedTuple):
    """How long a finished step took, in seconds, and how it ended."""

    name: str
    outcome: str
    seconds: float


timings: list[Timing] = []
"""The finished steps in order, those of an earlier process of the same run included; indented rows explain others."""


class StepError(Exception):
    """A step failed. The text names what could not be had; `remedy` says how to supply it by hand."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class Step:
    """Handle given to a running step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.outcome = "done"

    def skip(self, why: str) -> None:
        """Mark the step as having found nothing to do, such as "cached"."""
        self.outcome = why


@contextmanager
def remedy(text: str) -> Iterator[None]:
    """What gets a user past every StepError in the block that does not say so itself."""
    try:
        yield
    except StepError as error:
        error.remedy = error.remedy or text
        raise


_depth = 0


@contextmanager
def step(name: str, what: str) -> Iterator[Step]:
    """Print `name: what` when the step starts and its outcome with the elapsed seconds when it ends.

    The time of a step within another one stands below it in the table of times, and counts once.
    """
    global _depth
    print(f"==> {name}: {what}", flush=True)
    begun = time.monotonic()
    handle = Step(name)
    place, row = len(timings), "  " * _depth + name
    _depth += 1
    try:
        yield handle
    except BaseException:
        print(f"    {name}: failed after {time.monotonic() - begun:.1f} s", flush=True)
        raise
    finally:
        _depth -= 1
    timing = Timing(row, handle.outcome, round(time.monotonic() - begun, 2))
    timings.insert(place, timing)
    print(f"    {name}: {timing.outcome} ({timing.seconds:.1f} s)", flush=True)


def run(
    command: Sequence[str | Path],
    *,
    log: str,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    remedy: str = "",
) -> None:
    """Run a command with its output in `.lab/log/<log>.log`; raise StepError with the last lines if it fails."""
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    file = paths.LOGS / f"{log}.log"
    words = [str(word) for word in command]
    with file.open("wb") as out:
        try:
            status = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=cwd, env=env, timeout=timeout
            ).returncode
        except FileNotFoundError as error:
            raise StepError(f"{words[0]}: not found", remedy) from error
        except subprocess.TimeoutExpired as error:
            raise StepError(f"{' '.join(words)}: no end after {timeout:.0f} s\n{tail(file)}", remedy) from error
    if status:
        raise StepError(f"{' '.join(words)}: exit status {status}\n{tail(file)}", remedy)


@contextmanager
def lock(file: Path) -> Iterator[None]:
    """Hold a lock against other processes, such as another checkout's set-up. Wait for whoever holds it, and say so."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"    waiting for another set-up ({file})", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def hand_over(file: Path) -> None:
    """Leave this process's timings for the next one of the same run, which takes them over with `take_over`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(timings))


def take_over(file: Path) -> None:
    """Put the timings that an earlier process of the same run left before one's own."""
    if file.exists():
        timings[:0] = [Timing(*row) for row in json.loads(file.read_text())]
        file.unlink()


def table() -> str:
    """The finished steps with their times, and the sum."""
    width = max((len(timing.name) for timing in timings), default=0)
    rows = [f"{timing.name:{width}}  {timing.seconds:7.1f} s  {timing.outcome}" for timing in timings]
    total = sum(timing.seconds for timing in timings if not timing.name.startswith(" "))
    return "\n".join([*rows, f"{'total':{width}}  {total:7.1f} s"])


def tail(file: Path, lines: int = LAST_LINES) -> str:
    """The last lines of a log, indented, headed by its path."""
    text = file.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"  {file}:", *(f"    {line}" for line in text)])


def report(error: StepError) -> None:
    """Print a failed step's message and remedy to standard error."""
    print(f"\nerror: {error}", file=sys.stderr)
    if error.remedy:
        print(f"remedy: {error.remedy}", file=sys.stderr)
