"""`make ssh`: root's shell on a machine, or one command there. The machine's host key is known beforehand."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from components import remote
from components.secrets import KeyPair
from components.services import firewall
from tools import paths, stack_values
from tools.steps import StepError

_CONNECT_SECONDS = 15
_NO_CONNECTION = 255
"""What `ssh` ends with if it has not come to a login; everything else is the remote shell's own status."""


def main(argv: Sequence[str]) -> int:
    """Log in to a node, or run words there as one shell command; the exit status is that command's."""
    parser = argparse.ArgumentParser(prog="ssh", description="root's shell on a node, or one command there")
    parser.add_argument("--stack", default="lab", metavar="NAME", help="default: %(default)s")
    parser.add_argument("node", metavar="NODE")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    arguments = parser.parse_args(argv)
    config = stack_values.complete(arguments.stack)
    nodes = {node.name: node for node in config.site.topology.nodes}
    node = nodes.get(arguments.node)
    if node is None:
        allowed = ", ".join(nodes)
        raise StepError(f"NODE: {arguments.node!r} is no enabled node of stack {arguments.stack}; allowed: {allowed}")
    login, host = remote.login_key_pair(config.secrets), remote.host_key_pair(node, config.secrets)
    return connect(str(node.address), arguments.words, name=node.fqdn, login=login, host=host)


def connect(
    address: str, words: Sequence[str], *, name: str, login: KeyPair, host: KeyPair, port: int = firewall.SSH_PORT
) -> int:
    """Be an SSH client until it ends; its exit status, or 0 after a shell. The key lies in `.lab` meanwhile."""
    with _place() as directory:
        key, known = directory / "key", directory / "known_hosts"
        key.touch(mode=0o600)
        key.write_text(login.private)
        known.write_text(f"{name} {host.public}\n")
        options = {
            "ConnectTimeout": str(_CONNECT_SECONDS),
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": name,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "IdentityFile": str(key),
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": str(known),
        }
        status = subprocess.run(["ssh", *_words(options), "-p", str(port), f"root@{address}", *words]).returncode
    return status if words or status == _NO_CONNECTION else 0


@contextmanager
def _place() -> Iterator[Path]:
    """A directory that is gone afterwards, also when the terminal is closed; what a killed one left goes before."""
    for left in paths.STATE.glob("login-*"):
        if not Path(f"/proc/{left.name.split('-')[1]}").exists():
            shutil.rmtree(left)
    ends = (signal.SIGHUP, signal.SIGTERM)
    former = {number: signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in ends}
    try:
        with tempfile.TemporaryDirectory(prefix=f"login-{os.getpid()}-", dir=paths.STATE) as directory:
            yield Path(directory)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _words(options: Mapping[str, str]) -> list[str]:
    return ["-F", "none", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
