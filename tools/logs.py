"""`make logs`: what the machines and this one know of a lab, in one file to look into or to hand on.

Every text in it is masked: no password, key or token of the lab comes out.
"""

import argparse
import io
import json
import os
import platform
import re
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from components import remote
from components.config import Config
from components.services import firewall
from components.services.model import Site
from components.topology import Node
from tools import hypervisor, known_secrets, paths, stack, stack_values, status
from tools.hypervisor.virsh import virsh
from tools.steps import StepError
from tools.verify import ssh
from tools.verify.model import UnansweredError

BUNDLES = paths.STATE / "logs"

SECONDS = 300
"""Limit of a node's answer, unless told otherwise."""

FILE_BYTES = 1024 * 1024
JOURNAL_BYTES = 4 * FILE_BYTES
JOURNAL_LINES = 10_000
"""What is kept of a file and of a node's journal: whole lines from its end."""

_ASKING = 0.7
"""Share of a node's time in which it is asked; the rest is for the answer's way."""

MASK = b"***"

_TOKENS = re.compile(
    rb"gAAAA[A-Za-z0-9_=-]{40,}"  # Keystone's and Fernet's
    rb"|(?<=token=)[0-9a-f-]{32,}|(?<=token%3D)[0-9a-f-]{32,}"  # a console's
    rb"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----",
    re.DOTALL,
)

Contents = Mapping[str, bytes]
"""Path in the bundle -> text."""


def main(argv: Sequence[str]) -> int:
    """Collect everything and print the file's path and size; what does not answer is noted in it."""
    parser = argparse.ArgumentParser(prog="logs", description="collect logs and configuration, secrets masked")
    parser.add_argument("--stack", default="lab", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="how long a node may take to answer; default: %(default)s"
    )
    arguments = parser.parse_args(argv)
    file = collect(stack_values.complete(arguments.stack), arguments.stack, arguments.seconds)
    print(f"logs: {file} ({file.stat().st_size / 1024**2:.1f} MiB)")
    return 0


def collect(config: Config, name: str, seconds: float) -> Path:
    """Write the bundle of the stack `name`; what has not answered after `seconds` is noted as missing."""
    mask = Mask(known_secrets.values(config) | set(_passphrases()))
    questions: dict[str, Callable[[], Contents]] = {
        node.name: partial(_on_node, node, config, seconds) for node in config.site.topology.nodes
    }
    questions |= {f"host/{file}": partial(_on_host, file, question) for file, question in _host(config, name).items()}
    pool = ThreadPoolExecutor(max_workers=64)
    answers = {part: pool.submit(question) for part, question in questions.items()}
    wait(answers.values(), timeout=seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    contents: dict[str, bytes] = {}
    for part, answer in answers.items():
        late = {f"{part}/missing.txt": f"no answer after {seconds:.0f} s\n".encode()}
        contents |= answer.result() if answer.done() else late
    for log in sorted(paths.LOGS.rglob("*")):
        if log.is_file():
            contents[f"host/set-up/{log.relative_to(paths.LOGS)}"] = tail(log)
    bundle = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    BUNDLES.mkdir(parents=True, exist_ok=True)
    file = BUNDLES / f"{bundle}.tar.gz"
    _write(file, {f"{bundle}/{path}": mask(text) for path, text in sorted(contents.items())})
    return file


# Secrets


def _passphrases() -> Iterator[str]:
    if own := os.environ.get("PULUMI_CONFIG_PASSPHRASE"):
        yield own
    file = Path(os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE", stack.PASSPHRASE))
    if file.is_file() and (own := file.read_text().strip()):
        yield own


class Mask:
    """Replaces secrets, wherever they stand, and whatever looks like a token or a private key."""

    def __init__(self, values: Iterable[str]) -> None:
        """`values` may contain each other."""
        self._values = sorted((value.encode() for value in values), key=len, reverse=True)

    def __call__(self, text: bytes) -> bytes:
        """The text without secrets."""
        for value in self._values:
            text = text.replace(value, MASK)
        return _TOKENS.sub(MASK, text)


# Nodes

_SCRIPT = r"""
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

in_time() { [ $SECONDS -lt @SECONDS@ ]; }
tail_of() { # BYTES FILE: its end, from the first whole line on
  if [ "$(stat -c %s "$2")" -gt "$1" ]; then tail -c "$1" "$2" | tail -n +2; else cat "$2"; fi
}
keep() { # DIRECTORY FILE...: as few processes as can be, since each takes its time under emulation
  in_time || return 0
  mkdir -p "$work/$1"
  find "${@:2}" -type f ! -size +@FILE_BYTES@c -exec cp --parents -t "$work/$1" {} +
  find "${@:2}" -type f -size +@FILE_BYTES@c | while read -r file; do
    mkdir -p "$work/$1${file%/*}"
    tail_of @FILE_BYTES@ "$file" >"$work/$1$file"
  done
} 2>/dev/null
say() { # NAME COMMAND...: what the commands say, each under its own words
  local name=$1 command
  shift
  for command; do
    printf '$ %s\n' "$command"
    if in_time; then timeout $((@SECONDS@ - SECONDS)) bash -c "$command"; else echo 'not asked: too late'; fi
    printf '\n'
  done >"$work/$name.txt" 2>&1
}

keep configuration @CONFIGURATION@
keep logs @LOGS@ $(find /var/log -type f -name '*.log')
say failed 'systemctl --no-pager --plain list-units --failed' 'systemctl --no-pager --plain list-jobs' \
  'for unit in $(systemctl --plain --no-legend list-units --failed | cut -d" " -f1); do
  systemctl --no-pager --full --lines=50 status $unit
done'
say all 'journalctl --boot --no-pager --output=short-iso --lines=@JOURNAL_LINES@'
tail_of @JOURNAL_BYTES@ "$work/all.txt" >"$work/journal.txt"
rm "$work/all.txt"
say network 'ip address' 'ip route' 'bridge link' 'ovs-vsctl show' 'ip netns' 'iptables-save' 'ss -tlnp'
say resources 'date' 'uptime' 'df -h' 'free -m' \
  'ps -eo pid,ppid,user,pcpu,rss,etime,args --sort=-pcpu | grep -v in_time' \
  '[ ! -e /run/libvirt/libvirt-sock ] || virsh --readonly list --all'
tar -C "$work" -cf - .
"""
"""Runs on a node. What is not there, such as a command, is said in place of its output."""

_ELSEWHERE = ("/etc/hosts", "/etc/nova/nova-compute.conf")
"""Files that no service's data renders: the lab's own, and those that a task writes."""


def _on_node(node: Node, config: Config, seconds: float) -> Contents:
    secrets = config.secrets
    try:
        archive = ssh.fetch(
            str(node.address),
            node_script(config.site, node, seconds * _ASKING),
            login=remote.login_key_pair(secrets),
            host=remote.host_key_pair(node, secrets),
            seconds=seconds,
            port=firewall.SSH_PORT,
        )
        return {f"{node.name}/{path}": text for path, text in _members(archive)}
    except (UnansweredError, tarfile.TarError) as error:
        return {f"{node.name}/missing.txt": f"{error}\n".encode()}


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as members:
        for member in members:
            path = PurePosixPath(member.name)
            file = members.extractfile(member) if member.isreg() else None
            if file and not path.is_absolute() and ".." not in path.parts:
                yield str(path), file.read()


def node_script(site: Site, node: Node, seconds: float) -> str:
    """Script that writes a node's part of the bundle to standard output, as a tar archive: what it got in `seconds`."""
    services = [service for service in site.catalogue if node in service.nodes(site.topology)]
    configuration = {file.path for service in services for file in site.files(service, node)} | set(_ELSEWHERE)
    logs = {log for service in services for log in site.packaging(service).logs}
    replaced = {
        "SECONDS": f"{seconds:.0f}",
        "FILE_BYTES": str(FILE_BYTES),
        "JOURNAL_BYTES": str(JOURNAL_BYTES),
        "JOURNAL_LINES": str(JOURNAL_LINES),
        "CONFIGURATION": shlex.join(sorted(configuration)),
        "LOGS": shlex.join(sorted(logs)),
    }
    script = _SCRIPT
    for name, value in replaced.items():
        script = script.replace(f"@{name}@", value)
    return script


# This machine


def _host(config: Config, name: str) -> Mapping[str, Callable[[], str]]:
    """File name -> what this machine is asked."""
    return {
        "about.txt": lambda: about(name),
        "configuration.json": lambda: _json(stack.configuration(name)),
        "history.json": lambda: _json(history(name)),
        "libvirt.txt": libvirt,
        "resources.txt": lambda: resources(name),
        "status.json": lambda: _json(asdict(status.look(config))),
    }


def _on_host(file: str, question: Callable[[], str]) -> Contents:
    try:
        text = question()
    except (StepError, OSError, subprocess.SubprocessError, ValueError) as error:
        text = f"missing: {error}\n"
    return {f"host/{file}": text.encode()}


def about(name: str) -> str:
    """What was asked, when, on which machine, with which version of the project."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=paths.CHECKOUT, capture_output=True, text=True, check=False
    )
    memory = Path("/proc/meminfo").read_text().splitlines()[:3]
    lines = [
        f"stack {name}, {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
        f"commit {commit.stdout.strip() or 'unknown'}",
        f"{platform.platform()}, {os.cpu_count()} processors, load {' '.join(map(str, os.getloadavg()))}",
        *memory,
        f"secrets are replaced by {MASK.decode()}",
    ]
    return "\n".join(lines) + "\n"


def libvirt() -> str:
    """Machines, networks and volumes."""
    host = hypervisor.known()
    listings = (["list", "--all"], ["net-list", "--all"], ["vol-list", host.pool])
    return "".join(f"$ virsh {' '.join(words)}\n{virsh(host.uri, *words)}\n" for words in listings)


def resources(name: str) -> str:
    """The resources in the stack's state: type, name, identifier, when made and changed; no values."""
    lines = [
        " ".join(
            [each["type"], each["urn"].rpartition("::")[2], each.get("id") or "-"]
            + [f"{verb} {each[verb]}" for verb in ("created", "modified") if verb in each]
        )
        for each in stack.resources(name)
    ]
    return "\n".join(lines) + "\n"


def history(name: str) -> list[dict[str, Any]]:
    """The stack's updates as Pulumi tells them, the last one first, without the configuration that each had."""
    command = ["pulumi", "stack", "history", "--json", "--stack", name, "--non-interactive", "--page-size", "50"]
    environment = stack.environment(hypervisor.known())
    done = subprocess.run(
        command, cwd=paths.CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise StepError(f"{' '.join(command)}: {done.stderr.strip()}")
    kept = ("kind", "startTime", "endTime", "message", "result", "resourceChanges")
    updates: list[dict[str, Any]] = json.loads(done.stdout)
    return [{key: update[key] for key in kept if key in update} for update in updates]


def tail(file: Path) -> bytes:
    """The end of a file, from the first whole line on."""
    size = file.stat().st_size
    with file.open("rb") as text:
        text.seek(max(0, size - FILE_BYTES))
        lines = text.read(FILE_BYTES)
    return lines.partition(b"\n")[2] if size > FILE_BYTES else lines


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _write(file: Path, contents: Contents) -> None:
    """Write a tar archive that only its owner may read; complete or not there."""
    draft = file.with_name(f".{file.name}")
    draft.unlink(missing_ok=True)
    now = time.time()
    with (
        os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out,
        tarfile.open(fileobj=out, mode="w:gz") as archive,
    ):
        for path, text in contents.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.mtime = len(text), 0o600, int(now)
            archive.addfile(member, io.BytesIO(text))
    draft.rename(file)
