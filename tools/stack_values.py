"""A stack's configuration as the program gets it, for tools that ask a running lab."""

import contextlib
import json
import subprocess
import sys

from components import config
from tools import hypervisor, paths, stack
from tools.steps import StepError

_SECONDS = 60


def complete(name: str) -> config.Config:
    """The stack's configuration, secrets included, from one `pulumi config`, which shows what the engine hands over."""
    stack.configuration(name)  # a stack without a file is reported by name
    command = ["pulumi", "config", "--json", "--show-secrets", "--stack", name, "--non-interactive"]
    # Standard output may be JSON, which set-up's steps have no place in.
    with contextlib.redirect_stdout(sys.stderr):
        environment = stack.environment(hypervisor.known())
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, cwd=paths.CHECKOUT, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StepError(f"{' '.join(command)}: no end after {_SECONDS} s; does the backend answer?") from error
    if done.returncode:
        raise StepError(f"{' '.join(command)}: {done.stderr.strip()}", f"make setup STACK={name}")
    try:
        return config.from_engine({key: entry["value"] for key, entry in json.loads(done.stdout).items()})
    except config.ConfigError as error:
        raise StepError("\n".join(error.findings)) from error
