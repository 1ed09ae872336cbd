"""Running `pulumi` on a stack, where the lab's addresses are known."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tools import paths, stack, steps, times
from tools.hypervisor import Hypervisor

INTERRUPTED = 128 + signal.SIGINT


def run(verb: str, name: str, hypervisor: Hypervisor, options: Sequence[str] = (), **environment: str) -> int:
    """`pulumi VERB -s NAME` with this process's terminal; the exit status is Pulumi's."""
    words = ["pulumi", verb, "--stack", name, *options]
    if not sys.stdin.isatty():
        words.append("--non-interactive")
    sys.stdout.flush()
    return wait(hypervisor.command(words), {**stack.environment(hypervisor), **environment})


def wait(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run an engine; its exit status as a shell has it, INTERRUPTED if it failed after Ctrl-C.

    It is given the time to end in good order when it is told to.

    Ctrl-C reaches it without help, since the terminal tells all processes; SIGTERM to this one is passed on.
    """
    engines: list[subprocess.Popen[bytes]] = []
    early: list[int] = []
    interrupts: list[int] = []

    def terminate(number: int, _: object) -> None:
        if engines:
            engines[0].terminate()
        else:
            early.append(number)

    former = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number)),
        signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
    }
    try:
        engines.append(subprocess.Popen(command, cwd=paths.CHECKOUT, env=environment))
        if early:
            engines[0].terminate()
        status = _status(engines[0])
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if status and interrupts:
        return INTERRUPTED
    return status if status >= 0 else 128 - status


def _status(engine: subprocess.Popen[bytes]) -> int:
    """A signal that comes just before waitpid() is entered is handled after it only: so no wait is without a limit."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return engine.wait(timeout=1)


def up(name: str, hypervisor: Hypervisor, replace: Sequence[str] = ()) -> int:
    """`pulumi up` without a question; its times go into the table of steps. `replace`: URNs to make anew."""
    with steps.step("pulumi", f"bring the stack {name} up") as step, _events() as (pipe, found):
        options = ["--yes", "--skip-preview", "--event-log", str(pipe)]
        options += [word for urn in replace for word in ("--replace", urn)]
        # The engine logs events only where this switch shows its debugging options.
        status = run("up", name, hypervisor, options, PULUMI_DEBUG_COMMANDS="1")
        if status:
            step.skip(f"exit status {status}")
    for spans in found:
        steps.timings.extend(times.rows(spans, times.needs(stack.resources(name))))
    return status


@contextmanager
def _events() -> Iterator[tuple[Path, list[times.Spans]]]:
    """A place for the engine's event log, and what it tells of times, once all is over.

    A pipe, never a file: providers write debugging messages to it that hold private keys.
    """
    found: list[times.Spans] = []
    with tempfile.TemporaryDirectory() as directory:
        pipe = Path(directory, "events")
        os.mkfifo(pipe, 0o600)
        # Held open, so that neither side waits for the other to open it.
        writer = os.open(pipe, os.O_RDWR)
        with pipe.open() as lines:
            reader = threading.Thread(target=lambda: found.append(times.spans(json.loads(line) for line in lines)))
            reader.start()
            try:
                yield pipe, found
            finally:
                os.close(writer)
                reader.join()
