"""The Pulumi stack: where its state lies, what encrypts its secrets, and the environment that `pulumi` runs in.

By default a file backend and a generated passphrase file in `.lab`; the user's own PULUMI_BACKEND_URL and
PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE win.
"""

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tools import paths, steps, toolchain
from tools.hypervisor import Hypervisor
from tools.steps import StepError

PROJECT = "openstack-lab"
MASTER_SECRET = f"{PROJECT}:masterSecret"

BACKEND = paths.STATE / "state"
PASSPHRASE = paths.STATE / "passphrase"
PROOFS = paths.STATE / "stacks"
"""One file a stack: proof that its secrets have opened with the passphrase in use."""

STAND_IN = "encrypted-" * 4
"""In place of a secret that is there but encrypted; passes for a password and for a master secret."""

PROGRAM = "pulumi-language-python-exec"
_LANGUAGE_HOST = "pulumi-language"
"""Names of processes: of the engine's Python program, and, cut to 15 characters, of what starts it."""

_NOT_OURS = ("SSH_AUTH_SOCK", "PULUMI_DIY_BACKEND_GZIP")
"""Variables that stay outside, besides a user's OpenStack login: states are read here, as plain files."""

_BACKEND_URL = f"file://{BACKEND}?metadata=skip"
"""Without files of metadata beside the state: a kill leaves them half written, and the state cannot be read then."""
_SECONDS = 120


def ensure(stack: str, *, to_destroy: bool = False) -> None:
    """Make the stack, its passphrase and its master secret, as far as they are missing.

    Destroying takes no master secret, so that one who has lost it can start anew.
    """
    with steps.step("stack", f"state and secrets of {stack}") as step:
        settings = _settings(stack)
        _ensure_passphrase(stack, settings)
        if _proof_holds(stack, settings):
            step.skip("ready")
            return
        _check_backend()
        if own_backend():
            BACKEND.mkdir(parents=True, exist_ok=True)
        if MASTER_SECRET not in settings["config"] and own_backend() and resources(stack):
            if to_destroy:
                step.skip("without master secret")
                return
            raise StepError(
                f"Pulumi.{stack}.yaml has lost its {MASTER_SECRET}, which the passwords of what exists follow from",
                f"bring its lines {MASTER_SECRET} and encryptionsalt back, or `make destroy STACK={stack}` first",
            )
        if not exists(stack):
            _pulumi(stack, "stack", "init", stack, "--no-select")
        if MASTER_SECRET in settings["config"]:
            # Nothing is done with it: this shows that the passphrase opens it.
            _pulumi(stack, "config", "get", MASTER_SECRET, "--stack", stack)
        else:
            _pulumi(
                stack, "config", "set", "--secret", MASTER_SECRET, "--stack", stack, stdin=secrets.token_urlsafe(32)
            )
        proof = PROOFS / stack
        proof.parent.mkdir(parents=True, exist_ok=True)
        proof.write_text(_proof(_settings(stack)))


def environment(hypervisor: Hypervisor) -> dict[str, str]:
    """The environment of every `pulumi` run: a user's OpenStack login and SSH agent stay outside."""
    return {**_environment(), "LIBVIRT_DEFAULT_URI": hypervisor.uri}


def _check_backend() -> None:
    """StepError if the states are not where they were at first: elsewhere nobody knows of the machines that there are.

    Only a digest is kept, since a URL may hold a password.
    """
    file = paths.STATE / "backend"
    url = os.environ.get("PULUMI_BACKEND_URL", "") if not own_backend() else ""
    digest = hashlib.sha256(url.encode()).hexdigest()
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(digest)
    elif file.read_text() != digest:
        raise StepError(
            "PULUMI_BACKEND_URL is another than the one with which the stacks of this checkout were made",
            f"set it as it was then; or, once nothing of them is up any more, rm {file}",
        )


def own_backend() -> bool:
    """Whether the state lies in `.lab`."""
    return os.environ.get("PULUMI_BACKEND_URL", _BACKEND_URL) == _BACKEND_URL


def configuration(stack: str) -> dict[str, Any]:
    """The stack's configuration with the project's defaults, by key without namespace.

    What is encrypted as a whole is left out, but for the master secret; that and what is encrypted within a value has a
    stand-in.
    """
    project = yaml.safe_load((paths.CHECKOUT / "Pulumi.yaml").read_text())
    values = {key: entry["default"] for key, entry in project["config"].items() if "default" in entry}
    for key, value in _settings(stack)["config"].items():
        name = key.removeprefix(f"{PROJECT}:")
        if key == MASTER_SECRET or not _encrypted(value):
            values[name] = _readable(value)
    return values


def _encrypted(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"secure"}


def _readable(value: Any) -> Any:
    """The value with a stand-in for whatever in it is encrypted."""
    if _encrypted(value):
        return STAND_IN
    return {key: _readable(each) for key, each in value.items()} if isinstance(value, dict) else value


def resources(stack: str) -> list[dict[str, Any]]:
    """The resources of the stack's state as Pulumi keeps them, each with type, id, outputs; none without a stack."""
    return _state(stack).get("resources") or []


def pending(stack: str) -> list[dict[str, Any]]:
    """What an engine that was killed was doing, as Pulumi keeps it: a type, such as `creating`, and the resource."""
    return _state(stack).get("pending_operations") or []


def settle(stack: str) -> None:
    """Forget what an engine that was killed was doing; Pulumi warns of it for ever."""
    state = json.loads(export(stack))
    state["deployment"].pop("pending_operations", None)
    _pulumi(stack, "stack", "import", "--stack", stack, stdin=json.dumps(state))


def _state(stack: str) -> dict[str, Any]:
    if own_backend():
        file = _state_file(stack)
        latest = json.loads(file.read_text())["checkpoint"]["latest"] if file.exists() else {}
    else:
        latest = json.loads(export(stack))["deployment"]
    return latest or {}


def export(stack: str) -> str:
    """The stack's state as JSON, every secret in it encrypted."""
    return _pulumi(stack, "stack", "export", "--stack", stack)


def settings_file(stack: str) -> Path:
    """The stack's file: its configuration."""
    return paths.CHECKOUT / f"Pulumi.{stack}.yaml"


def set_secret(stack: str, draft: Path, key: str, value: str) -> None:
    """Put a secret, encrypted, into a copy of the stack's file.

    `key` is without namespace, and may be a path such as `passwordOverrides.x`.
    """
    words = ("config", "set", "--secret", "--path", f"{PROJECT}:{key}", "--stack", stack, "--config-file", str(draft))
    _pulumi(stack, *words, stdin=value)


def load(stack: str, state: Path) -> None:
    """Put an exported state in place of the stack's own."""
    _pulumi(stack, "stack", "import", "--stack", stack, "--file", str(state))


def unlock(stack: str) -> None:
    """Remove what killed `pulumi` processes of this machine left; StepError if a living one works on the stack.

    A lock, what was being written, and the program itself: it waits for its engine for minutes, or for ever.
    """
    locks = BACKEND / ".pulumi" / "locks" / "organization" / PROJECT / stack
    for file in locks.glob("*.json"):
        lock = json.loads(file.read_text())
        here = lock["hostname"] == socket.gethostname()
        if not here or _runs(lock["pid"]):
            raise StepError(
                f"stack {stack} is being worked on by process {lock['pid']} on {lock['hostname']} "
                f"since {lock['timestamp']}",
                f"let it end; if there is none: rm {file}",
            )
        file.unlink()
    for unfinished in (*locks.glob("*.tmp"), *_state_file(stack).parent.glob(f"{stack}.json.*.tmp")):
        unfinished.unlink()
    for program in _programs(stack):
        host = _process(program).parent
        orphans = [host, program] if _process(host).name == _LANGUAGE_HOST else [program]
        if _process(_process(orphans[0]).parent).name != "pulumi":
            for orphan in orphans:
                with suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)


def _programs(stack: str) -> list[int]:
    """Processes that are this checkout's Python program at work on the stack."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            if (
                PROGRAM in {word.rpartition("/")[2] for word in words}
                and stack in words
                # Not by its name: a lab's shell has mounts of its own, from where a chroot's paths look different.
                and (process / "cwd").samefile(paths.CHECKOUT)
            ):
                found.append(int(process.name))
    return found


class _Process(NamedTuple):
    """What the process table tells; empty for a process that is not there."""

    name: str = ""
    state: str = "X"
    parent: int = 0


def _process(pid: int) -> _Process:
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(") ")
    except (FileNotFoundError, ProcessLookupError):
        return _Process()
    state, parent, *_ = rest.split()
    return _Process(name, state, int(parent))


def _runs(pid: int) -> bool:
    """Whether the process is a `pulumi` that lives: a killed one may stay in the table until it is waited for."""
    process = _process(pid)
    return process.name == "pulumi" and process.state not in "ZX"


def names() -> list[str]:
    """The stacks that the checkout has a file for."""
    files = paths.CHECKOUT.glob("Pulumi.*.yaml")
    return sorted(file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files)


def kept() -> list[str]:
    """The stacks that the backend has a state of; their files may be gone."""
    if own_backend():
        return sorted(file.stem for file in _state_file("").parent.glob("*.json"))
    return [name for name in names() if exists(name)]


def _settings(stack: str) -> dict[str, Any]:
    file = settings_file(stack)
    if not file.exists():
        raise StepError(f"there is no stack {stack!r}: {file.name} is missing", f"STACK is one of {', '.join(names())}")
    try:
        settings = yaml.safe_load(file.read_text()) or {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise StepError(f"{file.name}, line {line}: no YAML: {error.problem}") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("config") or {}, dict):
        raise StepError(f"{file.name}: allowed is a mapping, in which `config` maps keys to values")
    return {**settings, "config": settings.get("config") or {}}


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OS_") and key not in _NOT_OURS}
    own = {"PULUMI_BACKEND_URL": _BACKEND_URL} if own_backend() else {}
    if own_passphrase():
        own["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(PASSPHRASE)
    return {**kept, **toolchain.environment(toolchain.ensure()), **own}


def passphrase() -> str:
    """What the stacks' secrets are encrypted by."""
    given = os.environ.get("PULUMI_CONFIG_PASSPHRASE")
    if given is not None:
        return given
    return Path(os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE", PASSPHRASE)).read_text().strip()


def stretched(salt: bytes) -> bytes:
    """64 bytes from the passphrase; slow on purpose, since a user's own may be short."""
    return hashlib.scrypt(passphrase().encode(), salt=salt, n=2**14, r=8, p=1)


def own_passphrase() -> bool:
    """Whether the passphrase is the generated one in `.lab`."""
    file = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE", str(PASSPHRASE))
    return "PULUMI_CONFIG_PASSPHRASE" not in os.environ and file == str(PASSPHRASE)


def _ensure_passphrase(stack: str, settings: Mapping[str, Any]) -> None:
    if not own_passphrase() or PASSPHRASE.exists():
        return
    if "encryptionsalt" in settings:
        raise StepError(
            f"Pulumi.{stack}.yaml is encrypted, and its passphrase is not here ({PASSPHRASE})",
            _other_passphrase(stack),
        )
    PASSPHRASE.parent.mkdir(exist_ok=True)
    with os.fdopen(os.open(PASSPHRASE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")


def _other_passphrase(stack: str) -> str:
    return (
        "set PULUMI_CONFIG_PASSPHRASE_FILE to a file with the right one; or, to start anew, "
        f"delete encryptionsalt and every entry with `secure:`, such as {MASTER_SECRET}, from Pulumi.{stack}.yaml"
    )


def _state_file(stack: str) -> Path:
    return BACKEND / ".pulumi" / "stacks" / PROJECT / f"{stack}.json"


def exists(stack: str) -> bool:
    """Whether the backend knows the stack."""
    if own_backend():
        return _state_file(stack).exists()
    return any(entry["name"] == stack for entry in json.loads(_pulumi(stack, "stack", "ls", "--json")))


def _proof_holds(stack: str, settings: Mapping[str, Any]) -> bool:
    """Whether all was found in order before and nothing has changed since: spares half a second of `pulumi`."""
    file = PROOFS / stack
    return file.exists() and (not own_backend() or exists(stack)) and file.read_text() == _proof(settings)


def _proof(settings: Mapping[str, Any]) -> str:
    """Digest of backend, passphrase and what it encrypts."""
    salt = json.dumps(
        [
            os.environ.get("PULUMI_BACKEND_URL", _BACKEND_URL),
            settings.get("encryptionsalt"),
            settings["config"].get(MASTER_SECRET),
        ]
    )
    return stretched(salt.encode()).hex()


def _pulumi(stack: str, *words: str, stdin: str = "") -> str:
    """Standard output of a `pulumi` command that concerns nothing but the stack and its configuration."""
    command = ["pulumi", *words, "--non-interactive"]
    environment = _environment()
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=_SECONDS, cwd=paths.CHECKOUT, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise StepError(f"{' '.join(command)}: no end after {_SECONDS} s; does the backend answer?") from error
    if "incorrect passphrase" in done.stderr:
        source = "PULUMI_CONFIG_PASSPHRASE"
        if source not in environment:
            source = environment["PULUMI_CONFIG_PASSPHRASE_FILE"]
        raise StepError(f"the passphrase in {source} does not open Pulumi.{stack}.yaml", _other_passphrase(stack))
    if done.returncode:
        raise StepError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
