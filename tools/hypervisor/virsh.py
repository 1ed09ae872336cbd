"""Asking libvirt through its own client."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from tools.steps import StepError

_SECONDS = 60
_UNDEFINE = ("undefine", "--nvram", "--managed-save", "--snapshots-metadata", "--checkpoints-metadata")


def virsh(uri: str, *words: str | Path, seconds: float = _SECONDS) -> str:
    """Standard output of a virsh command; StepError with libvirt's message if it fails."""
    command = ["virsh", "--quiet", "--connect", uri, *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise StepError(f"{' '.join(command)}: libvirt did not answer within {seconds:.0f} s") from error
    if done.returncode:
        raise StepError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def volumes(uri: str, pool: str) -> dict[str, str]:
    """Files of a pool's volumes, by name."""
    return dict(line.split(None, 1) for line in virsh(uri, "vol-list", pool).splitlines() if line.strip())


def pool_directory(uri: str, pool: str) -> Path:
    """Where a pool's volumes lie."""
    target = ElementTree.fromstring(virsh(uri, "pool-dumpxml", pool)).findtext("target/path")
    assert target, f"pool {pool} is no directory"
    return Path(target)


def names(uri: str, listing: str, *options: str) -> set[str]:
    """Names in a listing of virsh's: `list` (of running machines), `net-list`, `pool-list`; --all for all."""
    return set(virsh(uri, listing, "--name", *options).split())


def machines(uri: str) -> dict[str, str]:
    """UUIDs of all machines, by name."""
    lines = virsh(uri, "list", "--all", "--uuid", "--name").splitlines()
    return {name: uuid for uuid, name in (line.split(None, 1) for line in lines if line.strip())}


def networks(uri: str) -> dict[str, str]:
    """UUIDs of all networks, by name."""
    return {name: virsh(uri, "net-uuid", name).strip() for name in names(uri, "net-list", "--all")}


def delete_domain(uri: str, name: str) -> None:
    """Turn a machine off and forget it; its volumes stay."""
    _delete(uri, name, "list", ("destroy",), _UNDEFINE)


def delete_network(uri: str, name: str) -> None:
    """Take a network down and forget it."""
    _delete(uri, name, "net-list", ("net-destroy",), ("net-undefine",))


def _delete(uri: str, name: str, listing: str, stop: Sequence[str], forget: Sequence[str]) -> None:
    """Stop, then forget: each only if it is still there, since what is transient goes away by itself."""
    for command, options in ((stop, ()), (forget, ("--all",))):
        if name in names(uri, listing, *options):
            try:
                virsh(uri, *command, name)
            except StepError:
                if name in names(uri, listing, *options):
                    raise


def ensure_pool(uri: str, name: str, directory: Path) -> None:
    """Make the directory pool and have it active now and after a restart, unless it is."""
    state = (
        dict(line.split(":", 1) for line in virsh(uri, "pool-info", name).splitlines())
        if name in names(uri, "pool-list", "--all")
        else {}
    )
    if not state:
        virsh(uri, "pool-define-as", name, "dir", "--target", directory)
        virsh(uri, "pool-build", name)
    if state.get("State", "").strip() != "running":
        virsh(uri, "pool-start", name)
    if state.get("Autostart", "").strip() != "yes":
        virsh(uri, "pool-autostart", name)


def delete_pool(uri: str, name: str) -> None:
    """Delete the pool's volumes, its directory and the pool."""
    for volume in volumes(uri, name):
        virsh(uri, "vol-delete", volume, "--pool", name)
    virsh(uri, "pool-destroy", name)
    virsh(uri, "pool-delete", name)
    virsh(uri, "pool-undefine", name)
