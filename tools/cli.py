"""The verbs of `python -m tools`; each is a target of the Makefile."""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from components import config
from tools import (
    backup,
    clean,
    clone,
    cloud_image,
    engine,
    hypervisor,
    image,
    leftovers,
    machines,
    made,
    paths,
    preflight,
    repair,
    shell,
    snapshot,
    stack,
    steps,
    suite,
    template,
    toolchain,
)
from tools.hypervisor import Hypervisor, namespace
from tools.steps import StepError

_LOGS_SECONDS = 180
"""How long a failed `up` may take to collect logs. Emulated nodes on a busy machine need more than a minute."""

_PATIENCE_SECONDS = 900
"""How long a lab gets to come right after something was done to it: its machines may have been started just before."""


def main(argv: Sequence[str]) -> int:
    """Run `[--stack STACK] VERB [OPTION ...]`; the exit status is 0 if all went well."""
    verbs = "\n".join(f"  {verb:8} {text}" for verb, (_, text) in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tools", epilog=verbs, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default="lab", help="default: %(default)s")
    parser.add_argument("verb", choices=VERBS, metavar="VERB")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="for what the verb runs", metavar="OPTION")
    arguments = parser.parse_args(argv)
    steps.take_over(paths.TIMINGS)
    run, _ = VERBS[arguments.verb]
    return run(arguments)


def set_up(name: str) -> Hypervisor:
    """Bring what the program needs to run for a stack, as far as it is missing, but for what `bootstrap.py` brings."""
    with _set_up_engine(name) as host:
        values = stack.configuration(name)
        facts = {
            "libvirt_uri": host.uri,
            "pool": host.pool,
            "domain_type": host.domain_type,
            "release": values["release"],
            "template": str(_own(values, "template") or template.ensure(values["release"])),
            "template_source": values["template"],
            "image": str(_own(values, "image") or image.ensure()),
            "image_source": values["image"],
        }
        text = json.dumps(facts, indent=2) + "\n"
        if not paths.HOST_FACTS.exists() or paths.HOST_FACTS.read_text() != text:
            paths.HOST_FACTS.write_text(text)
        try:
            topology = config.load(stack.configuration(name), facts).site.topology
            namespace.write_hosts(topology.hosts_file())
        except config.ConfigError:
            # Preflight reports it, together with all else.
            pass
    return host


def _own(values: Mapping[str, Any], key: str) -> Path | None:
    """The image that the configuration names under the key, if it does."""
    source = values[key]
    return cloud_image.obtain(key, source, values[f"{key}Sha256"]) if source else None


@contextmanager
def _set_up_engine(name: str, *, to_destroy: bool = False) -> Iterator[Hypervisor]:
    """Bring what the engine needs to work on a stack's state; hold the lock of set-up meanwhile."""
    paths.STATE.mkdir(exist_ok=True)
    paths.STATE.chmod(0o700)  # disks of machines hold keys
    with steps.lock(paths.STATE / "setup.lock"):
        stack.configuration(name)  # a stack that there is not is said at once
        toolchain.ensure()
        host = hypervisor.ensure()
        stack.ensure(name, to_destroy=to_destroy)
        yield host


def _setup(arguments: argparse.Namespace) -> int:
    set_up(arguments.stack)
    return 0


def _up(arguments: argparse.Namespace) -> int:
    name = arguments.stack
    preflight.check_configuration(name)
    host = set_up(name)
    rebuilt = _mend(host, name)
    with steps.step("preflight", "what has to be right before anything is made"):
        preflight.check(name, host)
    status = engine.up(name, host, replace=rebuilt)
    if status == 0:
        machines.start(host, name)  # one may have gone off meanwhile
        status = _verified(host, name, arguments.options)
    if status not in (0, engine.INTERRUPTED):
        _keep_logs(host, name)
    print(steps.table())
    return status


def _mend(host: Hypervisor, name: str) -> list[str]:
    """Remove and repair what is in an update's way: killed runs, and others' hands; URNs of what to make anew."""
    stack.unlock(name)
    snapshot.check_whole(name)
    leftovers.remove(host)
    machines.start(host, name)
    lost = machines.lost(host, name)
    rebuilt = _rebuild(host, name, lost) if lost else []
    if not lost and made.by(name, made.DOMAIN):
        with steps.step("booted", "whether what was started answers") as step:
            step.skip("not all" if _inside(host, name, "booted") else "yes")
    _settle(host, name)
    return rebuilt


def _rebuild(host: Hypervisor, name: str, lost: list[made.Resource]) -> list[str]:
    """Prepare an update that makes again what somebody took away from libvirt; URNs of what to make anew."""
    topology = config.load(stack.configuration(name), config.host_facts(paths.HOST_FACTS)).site.topology
    machines.check_data(name, topology, lost)
    bare = machines.bare(topology, lost)
    stranded = _stranded(host, name, bare) if bare and made.instances(name) else []
    with steps.step("lost", ", ".join(resource["outputs"]["name"] for resource in lost)) as step:
        domains = [resource for resource in lost if resource["type"] == made.DOMAIN]
        others = [resource["urn"] for resource in lost if resource not in domains]
        machines.stand_in(host, domains)
        if others:
            targets = [word for urn in others for word in ("--target", urn)]
            status = engine.run("refresh", name, host, ["--yes", "--skip-preview", *targets])
            step.skip(f"exit status {status}")
    return [*machines.rebuilt(name, lost), *stranded]


def _stranded(host: Hypervisor, name: str, nodes: Sequence[str]) -> list[str]:
    """Have Nova delete the stack's instances whose disks went with those of these nodes; URNs, as far as it tells."""
    with steps.step("instances", f"whose disks were on {', '.join(nodes)}") as step:
        command = host.verb(name, "stranded", *nodes)
        done = subprocess.run(command, cwd=paths.CHECKOUT, stdout=subprocess.PIPE, text=True, check=False)
        urns: list[str] = [] if done.returncode else json.loads(done.stdout)
        told = ", ".join(urn.rpartition("::")[2] for urn in urns) or "none"
        step.skip("the cloud does not answer: delete them once it does, then make repair" if done.returncode else told)
    return urns


def _settle(host: Hypervisor, name: str) -> None:
    """Remove what a killed engine was making without the state knowing of it, and forget that it was at it."""
    operations = stack.pending(name)
    if not operations:
        return
    with steps.step("pending", "what a killed engine was making") as step:
        in_cloud = any(operation["resource"]["type"].startswith("openstack:") for operation in operations)
        if in_cloud and _inside(host, name, "orphans"):
            step.skip("the cloud does not answer yet")
            return
        stack.settle(name)
        step.skip(f"{len(operations)} operations settled")


def _verified(host: Hypervisor, name: str, options: Sequence[str]) -> int:
    with steps.step("verify", "ask the cloud itself") as step:
        status = _inside(host, name, "verify", f"--patience={_PATIENCE_SECONDS}", *options)
        step.skip(f"exit status {status}")
    return status


def _keep_logs(host: Hypervisor, name: str) -> None:
    """Collect the logs of what failed. Whatever becomes of it, the failure's own exit status counts."""
    with steps.step("logs", "what the machines and this one know of it") as step:
        try:
            status = _inside(host, name, "logs", f"--seconds={_LOGS_SECONDS * 2 // 3}", seconds=_LOGS_SECONDS)
            step.skip(f"exit status {status}")
        except (OSError, subprocess.TimeoutExpired, KeyboardInterrupt):
            step.skip("given up")


def _consent(arguments: argparse.Namespace, doing: str) -> tuple[list[str], bool]:
    """The options but --yes, and whether to ask, since it is missing; StepError where nobody could answer."""
    options = [option for option in arguments.options if option != "--yes"]
    asked = options == arguments.options
    if asked and not sys.stdin.isatty():
        raise StepError(f"{doing} stack {arguments.stack} wants a confirmation, and there is no terminal", "YES=1")
    return options, asked


def _agrees(question: str, answer: str = "yes") -> bool:
    """Whether somebody answers the question that way."""
    try:
        return input(f"{question} ({answer}): ") == answer
    except EOFError:
        return False


def _repair(arguments: argparse.Namespace) -> int:
    name = arguments.stack
    _consent(arguments, "repairing")
    preflight.check_configuration(name)
    host = set_up(name)
    # An instance can be made anew only once its machine is whole: verify finds it gone then.
    rebuilt, mended = [urn for urn in _mend(host, name) if made.INSTANCE not in urn], set[str]()
    while True:
        with steps.step("drift", "ask the cloud itself what is wrong") as step:
            wrong = repair.wrong(host, name)
            step.skip(f"{len(wrong)} wrong")
        for row in wrong:
            print(repair.line(row))
        urns = [urn for urn in (*rebuilt, *repair.resources(name, wrong)) if urn not in mended]
        if urns and (status := engine.run("up", name, host, ["--refresh", *repair.targets(urns), *arguments.options])):
            return status
        status = _verified(host, name, ()) if wrong or urns else 0
        # What nobody could be asked about while a service was off shows only now.
        if not urns or not status:
            return status
        mended.update(urns)


def _rotate(arguments: argparse.Namespace) -> int:
    name = arguments.stack
    options, asked = _consent(arguments, "rotating secrets of")
    if len(options) > 1:
        raise StepError(f"rotate takes one NAME or none, and was given {' '.join(options)}")
    host = set_up(name)
    stack.unlock(name)
    snapshot.check_whole(name)
    preflight.check(name, host)
    draft, file = paths.STATE / f"rotation-{name}.yaml", stack.settings_file(name)
    before = shutil.copyfile(file, draft).read_text()
    # Imported here, as what asks the lab: the program's own parts take long to import.
    importlib.import_module("tools.rotate").change(name, draft, *options)
    if engine.run("preview", name, host, ["--config-file", str(draft)]) or (asked and not _agrees("Go on with this?")):
        draft.unlink()
        print("nothing was rotated", file=sys.stderr)
        return 1
    # The question may have stood for hours.
    stack.unlock(name)
    if file.read_text() != before:
        raise StepError(f"{file.name} was changed meanwhile: nothing was rotated", "the same command again")
    draft.replace(file)
    status = engine.up(name, host) or _verified(host, name, ())
    print(steps.table())
    return status


def _preview(arguments: argparse.Namespace) -> int:
    preflight.check_configuration(arguments.stack)
    return engine.run("preview", arguments.stack, set_up(arguments.stack), arguments.options)


def _refresh(arguments: argparse.Namespace) -> int:
    with _set_up_engine(arguments.stack) as host:
        stack.unlock(arguments.stack)
    return engine.run("refresh", arguments.stack, host, ["--yes", *arguments.options])


def _destroy(arguments: argparse.Namespace) -> int:
    name = arguments.stack
    options, asked = _consent(arguments, "destroying")
    if asked and not _agrees(f"This deletes every machine of stack {name}. Type its name to go on", name):
        raise StepError("that is not its name: nothing was destroyed")
    with _set_up_engine(name, to_destroy=True) as host:
        stack.unlock(name)
        made.check_disks(host, name)
    machines.stand_in(host, machines.lost(host, name))
    status = engine.run("destroy", name, host, ["--yes", "--skip-preview", *options])
    if status == 0:
        leftovers.remove(host)
        snapshot.forget(name)
        # One that was being written when an engine was killed is in no state.
        shutil.rmtree(paths.CLIENTS / name, ignore_errors=True)
    return status


def _shell(arguments: argparse.Namespace) -> int:
    shell.enter(set_up(arguments.stack), arguments.options)
    return 0


def _named(arguments: argparse.Namespace, *wanted: str) -> Sequence[str]:
    """The options, one for each of these names; StepError if there are more or fewer."""
    options: list[str] = arguments.options
    if len(options) != len(wanted):
        given = " ".join(options) or "nothing"
        raise StepError(f"{arguments.verb} takes {' '.join(wanted)}, and was given {given}")
    return options


def _snapshot(arguments: argparse.Namespace) -> int:
    name, names = arguments.stack, _named(arguments, "NAME")
    with _set_up_engine(name) as host:
        stack.unlock(name)
        snapshot.check_whole(name)
        with steps.step("snapshot", f"keep disks, memory and state of {name}") as step:
            taken = snapshot.take(host, name, *names)
            step.skip(f"{taken.name}: {taken.size / 1024**3:.1f} GiB in {taken.directory}")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    name, names = arguments.stack, _named(arguments, "NAME")
    # The snapshot has the stack's file with its secret, whatever has become of the present one.
    with _set_up_engine(name, to_destroy=True) as host:
        stack.unlock(name)
        snapshot.restore(host, name, *names)
    set_up(name)
    with steps.step("clocks", "set the machines' clocks by this one's"):
        _inside(host, name, "clocks")
    status = _verified(host, name, ())
    print(steps.table())
    return status


def _clone(arguments: argparse.Namespace) -> int:
    name, to = _named(arguments, "NAME", "TO")
    clone.clone(arguments.stack, name, to)
    print(f"stack {to} is made; while {arguments.stack} is not up: make restore STACK={to} NAME={name}")
    return 0


def _snapshots(arguments: argparse.Namespace) -> int:
    for name in arguments.options:
        snapshot.delete(arguments.stack, name)
    print(snapshot.table(snapshot.listing(arguments.stack)))
    return 0


def _backup(arguments: argparse.Namespace) -> int:
    return _ask("tools.backup.take", arguments)


def _restore_db(arguments: argparse.Namespace) -> int:
    host = hypervisor.known()
    status = _ask("tools.backup.restore", arguments)
    return status or (0 if host.entered() else _verified(host, arguments.stack, ()))


def _backups(arguments: argparse.Namespace) -> int:
    for head, size in backup.listing(arguments.stack):
        print(f"{head.name:41} {head.made} {size / 1024**2:6.1f} MiB  {', '.join(head.databases)}")
    return 0


def _clean(arguments: argparse.Namespace) -> int:
    keepsakes = [] if "--yes" in arguments.options else clean.keepsakes()
    if keepsakes:
        raise StepError(f"this would delete {', '.join(keepsakes)}", "YES=1")
    clean.run()
    return 0


def _test(arguments: argparse.Namespace) -> int:
    return _suite(suite.test, arguments)


def _e2e(arguments: argparse.Namespace) -> int:
    return _suite(suite.e2e, arguments)


def _faults(arguments: argparse.Namespace) -> int:
    return _suite(suite.faults, arguments)


def _suite(run: Callable[[Sequence[str]], int], arguments: argparse.Namespace) -> int:
    # The tests make stacks and labs of their own; none of this checkout's needs to be there, nor a template.
    with steps.lock(paths.STATE / "setup.lock"):
        toolchain.ensure()
        hypervisor.ensure()
    return run(arguments.options)


def _ask(module: str, arguments: argparse.Namespace) -> int:
    """Run what talks to the lab's addresses, where these are known."""
    host = hypervisor.known()
    if not host.entered():
        return _inside(host, arguments.stack, arguments.verb, *arguments.options)
    # Imported here, since their clients take a second to import.
    status: int = importlib.import_module(module).main(["--stack", arguments.stack, *arguments.options])
    return status


def _inside(host: Hypervisor, name: str, *words: str, seconds: float | None = None) -> int:
    """Run a verb where the lab's addresses are known; subprocess.TimeoutExpired if it takes longer than that."""
    sys.stdout.flush()
    command = host.verb(name, *words)
    if seconds is not None:
        return subprocess.run(command, cwd=paths.CHECKOUT, check=False, timeout=seconds).returncode
    # It may have something to tidy up after Ctrl-C, such as an instance that it tried.
    status = engine.wait(command, os.environ)
    if status == engine.INTERRUPTED:
        raise KeyboardInterrupt
    return status


VERBS: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "setup": (_setup, "bring everything that `pulumi up` needs"),
    "up": (_up, "set up, check, `pulumi up`, verify"),
    "preview": (_preview, "show what `up` would do"),
    "refresh": (_refresh, "bring Pulumi's state in line with what exists"),
    "destroy": (_destroy, "delete everything that `up` made; --yes: without asking"),
    "verify": (
        partial(_ask, "tools.verify"),
        "ask the cloud's own APIs whether it works; --instance: boot an instance, too",
    ),
    "repair": (_repair, "bring back what was changed by hand, after a preview; --yes: without asking"),
    "rotate": (_rotate, "another master secret, or another value of password NAME, after a preview"),
    "status": (partial(_ask, "tools.status"), "nodes, services, endpoints at a glance"),
    "logs": (partial(_ask, "tools.logs"), "collect logs and configuration of all nodes in one file, secrets masked"),
    "snapshot": (_snapshot, "keep disks, memory and state of all machines under the name NAME"),
    "restore": (_restore, "bring the lab back as it was at snapshot NAME"),
    "clone": (_clone, "make another stack, TO, that begins with the snapshot NAME"),
    "snapshots": (_snapshots, "list the snapshots; NAME: delete that one first"),
    "backup": (_backup, "keep all databases and Keystone's keys, encrypted, under the name NAME"),
    "restore-db": (_restore_db, "load databases and keys as they were at backup NAME"),
    "backups": (_backups, "list the backups"),
    "orphans": (partial(_ask, "tools.orphans"), "delete what a killed engine was making in the cloud"),
    "stranded": (
        partial(_ask, "tools.stranded"),
        "delete the stack's instances that lost their disks with those of NODE …",
    ),
    "booted": (partial(_ask, "tools.booted"), "wait for what machines that have just booted start by themselves"),
    "clocks": (partial(_ask, "tools.clocks"), "set the machines' clocks by this machine's"),
    "ssh": (partial(_ask, "tools.login"), "root's shell on NODE, or one command there"),
    "shell": (_shell, "a shell, or one command, in which `pulumi` and `virsh` work"),
    "test": (_test, "format, lint, types and tests"),
    "e2e": (_e2e, "tests on real machines"),
    "faults": (_faults, "what the lab gets over: hours"),
    "clean": (
        _clean,
        "delete everything that set-up made, but for the shared cache; --yes: machines, snapshots and backups, too",
    ),
}
