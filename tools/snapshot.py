"""Snapshots of a whole lab: disks and memory of all machines at one moment, with the engine's state and the stack file.

One directory each, `.lab/snapshots/STACK/NAME/`: `snapshot.json` (see `Snapshot`), `state.json`, `stack.yaml`,
`clients/*`, `networks/*.xml`, `machines/*.xml` and `*.memory`, `volumes/*`. It holds all that the machines hold,
secrets included.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

from tools import digest, leftovers, made, names, paths, stack, steps
from tools.hypervisor import Hypervisor
from tools.hypervisor.virsh import delete_domain, delete_network, pool_directory, virsh, volumes
from tools.hypervisor.virsh import names as names_in
from tools.hypervisor.virsh import networks as networks_in
from tools.steps import StepError

ROOT = paths.STATE / "snapshots"

MIB = 1024**2

SLACK = 256 * MIB
"""Left free on the disk in any case."""

MOVE_SECONDS = 300
"""Limit of writing or reading the memory of one machine."""

_PROGRAM = ("__main__.py", "Pulumi.yaml", "cloud-init", "components")
"""What decides which resources there are."""

_FORMAT = 1
_PART = ".part"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is known of a snapshot without opening its files.

    `made`: UTC, ISO 8601. `program`: digest of the program that the lab was made by. `machines`: name -> MiB of
    memory. `files`: path in the directory -> bytes.
    """

    stack: str
    name: str
    made: str
    program: str
    machines: dict[str, int]
    files: dict[str, int]
    format: int = _FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    @property
    def directory(self) -> Path:
        """Where it lies."""
        return ROOT / self.stack / self.name


def listing(stack_name: str) -> list[Snapshot]:
    """The stack's snapshots, oldest first."""
    found = [_read(file) for file in (ROOT / stack_name).glob("[!.]*/snapshot.json")]
    return sorted(found, key=lambda snapshot: snapshot.made)


def table(snapshots: Iterable[Snapshot]) -> str:
    """The snapshots as text, one a line, with their sizes."""
    rows = [("NAME", "MADE (UTC)", "SIZE", "MACHINES")]
    for each in snapshots:
        moment = datetime.fromisoformat(each.made).strftime("%Y-%m-%d %H:%M:%S")
        rows.append((each.name, moment, f"{each.size / 1024**3:.1f} GiB", ", ".join(sorted(each.machines))))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def get(stack_name: str, name: str) -> Snapshot:
    """The stack's snapshot of that name; StepError if there is none."""
    file = ROOT / stack_name / name / "snapshot.json"
    if not names.allowed(name) or not file.exists():
        own = ", ".join(each.name for each in listing(stack_name)) or "there are none"
        others = "".join(
            f"; stack {each} has one" for each in stack.names() if names.allowed(name) and (ROOT / each / name).is_dir()
        )
        raise StepError(f"stack {stack_name} has no snapshot {name!r}{others}; its snapshots: {own}", "make snapshots")
    return _read(file)


def delete(stack_name: str, name: str) -> None:
    """Delete a snapshot, whatever has become of its files; StepError if there is none of that name."""
    directory = ROOT / stack_name / name
    if not names.allowed(name) or not directory.is_dir():
        get(stack_name, name)
    shutil.rmtree(directory.rename(unfinished(directory)))


def take(host: Hypervisor, stack_name: str, name: str) -> Snapshot:
    """Keep the lab as it is at this moment; it stands still meanwhile, and goes on afterwards.

    StepError, with nothing changed, for a name that is taken or not allowed, a lab that is not whole, too small a disk.
    """
    names.check(name)
    target = ROOT / stack_name / name
    if target.exists():
        raise StepError(
            f"stack {stack_name} has a snapshot {name!r} already", f"another NAME, or make snapshots DELETE={name}"
        )
    machines, networks = (made.by(stack_name, kind) for kind in (made.DOMAIN, made.NETWORK))
    disks = made.by(stack_name, *made.VOLUMES)
    files = [file for volume, file in volumes(host.uri, host.pool).items() if volume in disks]
    for leftover in target.parent.glob(f".*{_PART}"):
        shutil.rmtree(leftover)
    part = unfinished(target)
    for each in (part / "machines", part / "networks", part / "volumes"):
        each.mkdir(parents=True)
    ROOT.chmod(0o700)
    try:
        memory = {machine: _memory(host.uri, machine) for machine in machines}
        _check_machines(host, stack_name, machines)
        _check_space(ROOT, sum(_allocated(Path(file)) for file in files) + sum(memory.values()) * MIB)
        (part / "state.json").write_text(stack.export(stack_name))
        shutil.copyfile(stack.settings_file(stack_name), part / "stack.yaml")
        shutil.copytree(paths.CLIENTS / stack_name, part / "clients")
        for network in networks:
            (part / "networks" / f"{network}.xml").write_text(virsh(host.uri, "net-dumpxml", "--inactive", network))
        for machine in machines:
            text = virsh(host.uri, "dumpxml", "--inactive", "--security-info", machine)
            (part / "machines" / f"{machine}.xml").write_text(text)
        with _standing_still(host.uri, machines):
            moment = datetime.now(UTC)
            _side_by_side(lambda machine: _save(host.uri, machine, part / "machines"), machines)
            _side_by_side(lambda file: _copy(Path(file), part / "volumes"), files)
        snapshot = Snapshot(
            stack=stack_name,
            name=name,
            made=moment.isoformat(timespec="seconds"),
            program=program(),
            machines=memory,
            files={
                str(file.relative_to(part)): file.stat().st_size for file in sorted(part.rglob("*")) if file.is_file()
            },
        )
        (part / "snapshot.json").write_text(json.dumps(asdict(snapshot), indent=2) + "\n")
        for file in [part, *part.rglob("*")]:
            file.chmod(0o700 if file.is_dir() else 0o600)
        _to_disk(part / "snapshot.json")
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return snapshot


def unfinished(directory: Path) -> Path:
    """Where a snapshot lies that is not all there: yet, or any more."""
    return directory.with_name(f".{directory.name}{_PART}")


def check_whole(stack_name: str) -> None:
    """StepError if a restore was broken off: what lies in the pool is no lab that could go on."""
    mark = _mark(stack_name)
    if mark.exists():
        name = mark.read_text()
        raise StepError(
            f"the disks of stack {stack_name} are half those of snapshot {name!r}: its restore was broken off",
            f"make restore STACK={stack_name} NAME={name}, or make destroy STACK={stack_name}",
        )


def forget(stack_name: str) -> None:
    """After a restore that came to its end, or when the stack is gone."""
    _mark(stack_name).unlink(missing_ok=True)


def _mark(stack_name: str) -> Path:
    """A file that is there while a restore is at work; holds the snapshot's name."""
    return paths.STATE / f"restoring-{stack_name}"


def restore(host: Hypervisor, stack_name: str, name: str) -> Snapshot:
    """Bring the lab back as it was then, whatever has become of its machines; what came since is gone.

    The clocks of the machines still show that moment. StepError, with nothing changed, for a snapshot of another
    program, or a damaged one, or too small a disk. One that is broken off has to be repeated: see `check_whole`.
    """
    snapshot = get(stack_name, name)
    _check(snapshot)
    machines, networks, kept = (snapshot.directory / part for part in ("machines", "networks", "volumes"))
    pool = pool_directory(host.uri, host.pool)
    _check_space(pool, sum(_allocated(file) - _allocated(pool / file.name) for file in kept.iterdir()))
    ours, anew = sorted(_ours(host, stack_name, snapshot)), _made_anew(host, stack_name, networks)
    _check_disks(host, stack_name, {file.name for file in kept.iterdir()})
    _mark(stack_name).write_text(name)
    with steps.step("stop", "end the machines that run"):
        for machine in ours:
            delete_domain(host.uri, machine)
    with steps.step("disks", "bring back state, networks and disks"):
        for network in anew:
            delete_network(host.uri, network)
        for file in networks.iterdir():
            _ensure_network(host.uri, file)
        _side_by_side(lambda file: _copy(file, pool), sorted(kept.iterdir()))
        virsh(host.uri, "pool-refresh", host.pool)
        shutil.copyfile(snapshot.directory / "stack.yaml", stack.settings_file(stack_name))
        shutil.copytree(snapshot.directory / "clients", paths.CLIENTS / stack_name, dirs_exist_ok=True)
        stack.load(stack_name, snapshot.directory / "state.json")
    with steps.step("memory", "have the machines go on where they were"):
        for file in sorted(machines.glob("*.xml")):
            virsh(host.uri, "define", file)
            virsh(host.uri, "autostart", file.stem)
        saved = sorted(machines.glob("*.memory"))
        _side_by_side(lambda file: virsh(host.uri, "restore", "--paused", file, seconds=MOVE_SECONDS), saved)
        for file in saved:
            virsh(host.uri, "resume", file.stem)
    forget(stack_name)
    leftovers.remove(host)
    return snapshot


def program() -> str:
    """Digest of what decides which resources there are and what they look like."""
    return digest.of(paths.CHECKOUT, _PROGRAM)[:12]


def _check_machines(host: Hypervisor, stack_name: str, machines: Collection[str]) -> None:
    if not machines:
        raise StepError(f"stack {stack_name} has no machines", f"make up STACK={stack_name}")
    running = names_in(host.uri, "list") & made.present(host, stack_name, made.DOMAIN).keys()
    stopped = sorted(set(machines) - running)
    if stopped:
        raise StepError(f"of stack {stack_name}, {', '.join(stopped)} does not run", f"make up STACK={stack_name}")


def _check(snapshot: Snapshot) -> None:
    """StepError if the snapshot is not one that this program could go on from."""
    present = program()
    if snapshot.program != present:
        raise StepError(
            f"snapshot {snapshot.name!r} was made by version {snapshot.program} of the program, and this is {present}",
            f"check that version out, or make snapshots DELETE={snapshot.name}",
        )
    sizes = {file: _size(snapshot.directory / file) for file in snapshot.files}
    damaged = [file for file, size in snapshot.files.items() if sizes[file] != size]
    if damaged:
        raise StepError(f"snapshot {snapshot.name!r} is damaged: {', '.join(damaged)}", f"rm -r {snapshot.directory}")


def _read(file: Path) -> Snapshot:
    remedy = f"rm -r {file.parent}"
    try:
        fields = json.loads(file.read_text())
        if fields.get("format") != _FORMAT:
            raise StepError(f"{file}: format {fields.get('format')}, not {_FORMAT}", remedy)
        return Snapshot(**fields)
    except (ValueError, AttributeError, TypeError) as error:
        raise StepError(f"{file} is damaged: {error}", remedy) from error


def _to_disk(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else -1


def _allocated(file: Path) -> int:
    """Bytes that the file takes on its disk: fewer than its size, if it has holes, and none if it is not there."""
    return file.stat().st_blocks * 512 if file.exists() else 0


def _memory(uri: str, machine: str) -> int:
    """MiB of a machine's memory."""
    info = dict(line.split(":", 1) for line in virsh(uri, "dominfo", machine).splitlines())
    return int(info["Max memory"].split()[0]) // 1024


def _check_space(directory: Path, wanted: int) -> None:
    free = shutil.disk_usage(directory).free - SLACK
    if wanted > free:
        raise StepError(
            f"{directory}: {max(0, free) // MIB} MiB free, up to {wanted // MIB} MiB wanted",
            "make snapshots DELETE=NAME",
        )


def _ours(host: Hypervisor, stack_name: str, snapshot: Snapshot) -> set[str]:
    """Machines in libvirt that are the stack's; StepError if one that is not has a name of the snapshot's."""
    there, owners = names_in(host.uri, "list", "--all"), made.owners(host, made.DOMAIN)
    own = {machine for machine, owner in owners.items() if owner == stack_name}
    for machine in sorted(there & snapshot.machines.keys() & owners.keys() - own):
        raise StepError(
            f"libvirt has the machine {machine} of stack {owners[machine]}", f"make destroy STACK={owners[machine]}"
        )
    pool = volumes(host.uri, host.pool).values()
    foreign = [
        machine
        for machine in sorted(there & snapshot.machines.keys() - own)
        if not leftovers.has_disk_among(host.uri, machine, pool)
    ]
    if foreign:
        raise StepError(f"libvirt has a machine {foreign[0]} that stack {stack_name} did not make")
    return there & (own | snapshot.machines.keys())


def _check_disks(host: Hypervisor, stack_name: str, disks: Collection[str]) -> None:
    """StepError if disks of these names are another stack's whose machines somebody took away."""
    if made.present(host, stack_name, made.DOMAIN):
        return
    claimed = made.owners(host, *made.VOLUMES, but=stack_name)
    for disk in sorted(claimed.keys() & disks):
        raise StepError(f"the disk {disk} is one of stack {claimed[disk]}", f"make destroy STACK={claimed[disk]}")


def _made_anew(host: Hypervisor, stack_name: str, kept: Path) -> list[str]:
    """Networks in libvirt that are the stack's, and not those of the snapshot; StepError for one of somebody else."""
    there, owners, begun = networks_in(host.uri), made.owners(host, made.NETWORK), made.begun(host)
    known = {file.stem: ElementTree.parse(file).findtext("uuid") for file in kept.iterdir()}
    others = sorted(network for network, uuid in known.items() if there.get(network, uuid) != uuid)
    for network in others:
        owner = owners.get(network, stack_name if network in begun else None)
        if owner != stack_name:
            raise StepError(
                f"libvirt has a network {network} that stack {stack_name} did not make",
                made.removal(owner, f"virsh net-destroy {network}; virsh net-undefine {network}"),
            )
    return others


def _ensure_network(uri: str, file: Path) -> None:
    if file.stem not in names_in(uri, "net-list", "--all"):
        virsh(uri, "net-define", file)
        virsh(uri, "net-autostart", file.stem)
    if file.stem not in names_in(uri, "net-list"):
        virsh(uri, "net-start", file.stem)


@contextmanager
def _standing_still(uri: str, machines: Iterable[str]) -> Iterator[None]:
    """Have all machines paused at one moment, and go on at the end, whatever happens."""
    with ExitStack() as paused:
        for machine in machines:
            virsh(uri, "suspend", machine)
            paused.callback(virsh, uri, "resume", machine)
        yield


def _save(uri: str, machine: str, directory: Path) -> None:
    """Write the memory of a machine that is paused; it stays so."""
    file = directory / f"{machine}.memory"
    disks = [words[0] for line in virsh(uri, "domblklist", machine).splitlines() if (words := line.split())]
    options = [word for disk in disks for word in ("--diskspec", f"{disk},snapshot=no")]
    virsh(
        uri,
        *("snapshot-create-as", machine, "--no-metadata", "--memspec", f"file={file},snapshot=external", *options),
        seconds=MOVE_SECONDS,
    )


def _copy(source: Path, directory: Path) -> None:
    """Copy a file without its holes, and without its content where the file system can share it."""
    command = ["cp", "--reflink=auto", "--sparse=always", "--preserve=mode", str(source), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(done.stderr.strip())


def _side_by_side(work: Callable[[_T], object], items: Iterable[_T]) -> None:
    """Do the same to all; wait for all before an error of one goes on."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for future in [pool.submit(work, item) for item in items]:
            future.result()
