"""Check a finished template, from inside: print what is wrong with it, and end with 1 if anything is.

Called inside the new system, with the recipe at /run/recipe; standard library only.
"""

import importlib.util
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

RECIPE = Path("/run/recipe")
PYTHON = (
    *("/usr/lib/python3", f"/usr/lib/python3.{sys.version_info.minor}"),
    *("/usr/share/openstack-dashboard", "/etc/openstack-dashboard"),
)
UNITS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))
"""The first one with a unit counts."""
DATABASES = ("glance", "keystone", "neutron", "nova", "nova_api", "nova_cell0", "placement")


def output(*command: str) -> str:
    """Standard output of a command, whatever its exit status."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def names(file: str) -> list[str]:
    """Names in a file of `name  # reason` lines."""
    lines = ((RECIPE / file).read_text()).splitlines()
    return [name for line in lines if (name := line.split("#")[0].strip())]


def packages() -> Iterator[str]:
    """Everything wanted is installed and configured."""
    states = dict(
        line.split()
        for line in output("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n").splitlines()
    )
    for name in names("packages.txt"):
        if states.get(name) != "installed":
            yield f"package {name}: {states.get(name, 'not there')}"
    for name, state in states.items():
        if state not in {"installed", "config-files"}:
            yield f"package {name}: {state}"


def kept() -> Iterator[str]:
    """Everything wanted can be installed again without a mirror."""
    index = Path("/usr/share/openstack-lab/packages/Packages").read_text()
    there = set(re.findall(r"^Package: (\S+)$", index, re.MULTILINE))
    yield from (f"package {name}: not kept" for name in names("packages.txt") if name not in there)


def files() -> Iterator[str]:
    """Files are the packages' own, but for those left out and those of the overlay."""
    overlay = {f"/{path.relative_to(RECIPE / 'overlay')}" for path in (RECIPE / "overlay").rglob("*")}
    rules = re.findall(r"^path-(exclude|include)=(.+)$", (RECIPE / "dpkg.cfg").read_text(), re.MULTILINE)
    for line in output("dpkg", "--verify").splitlines():
        path = line[line.index("/") :]
        verdicts = [kind for kind, pattern in rules if fnmatch(path, pattern)]
        left_out = line.startswith("missing") and verdicts and verdicts[-1] == "exclude"
        if not left_out and path not in overlay:
            yield f"file differs from its package: {line}"


def wants() -> Iterator[str]:
    """No unit starts what is for machines of another role."""
    others = {f"{name}.service" for name in ("keystone", "mariadb", "mysql", "postgresql", "rabbitmq-server")}
    for name in sorted({file.name for where in UNITS for file in where.glob("*.service")}):
        file = next(where / name for where in UNITS if (where / name).exists())
        for words in re.findall(r"^(?:Wants|Requires|BindsTo)=(.*)$", file.read_text(), re.MULTILINE):
            yield from (f"unit {name} starts {other}" for other in sorted(others & set(words.split())))


def units() -> Iterator[str]:
    """Only what the presets name is enabled."""
    presets = (RECIPE / "overlay/etc/systemd/system-preset/00-template.preset").read_text()
    wanted = set(re.findall(r"^enable (\S+)$", presets, re.MULTILINE))
    # What systemd-networkd brings along, and what customise.sh adds.
    wanted |= {"systemd-networkd.socket", "systemd-networkd-wait-online.service", "systemd-network-generator.service"}
    wanted |= {"cloud-init.target"}
    listed = output("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--plain")
    enabled = {line.split()[0] for line in listed.splitlines()}
    yield from (f"unit enabled: {name}" for name in sorted(enabled - wanted))
    masked = set(names("masked-units.txt"))
    yield from (f"unit not enabled: {name}" for name in sorted(wanted - enabled - masked))
    for name in sorted(masked):
        if Path(f"/etc/systemd/system/{name}").resolve() != Path("/dev/null"):
            yield f"unit not masked: {name}"


def identity() -> Iterator[str]:
    """Nothing of the machine that baked, nothing that must differ between machines."""
    if Path("/etc/machine-id").read_text():
        yield "/etc/machine-id is not empty"
    for pattern in ("etc/ssh/ssh_host_*", "usr/sbin/policy-rc.d", "usr/bin/py3compile.distrib", "var/lib/cloud/*"):
        yield from (f"left over: {path}" for path in Path("/").glob(pattern))
    if re.search(r"^my_ip\b", Path("/etc/nova/nova.conf").read_text(), re.MULTILINE):
        yield "/etc/nova/nova.conf names an address of the machine that baked"


def modules() -> Iterator[str]:
    """Every Python module has byte code that the interpreter will take, or cannot be compiled at all."""
    for directory in PYTHON:
        for source in Path(directory).rglob("*.py"):
            if source.is_file() and not byte_code(source) and compiles(source):
                yield f"no valid byte code: {source}"


def byte_code(source: Path) -> bool:
    """Whether the module's .pyc is there and matches version, time and size of the source."""
    compiled = Path(importlib.util.cache_from_source(str(source)))
    if not compiled.is_file():
        return False
    magic, flags, mtime, size = struct.unpack("<4sIII", compiled.read_bytes()[:16])
    stat = source.stat()
    return magic == importlib.util.MAGIC_NUMBER and flags == 0 and (mtime, size) == (int(stat.st_mtime), stat.st_size)


def compiles(source: Path) -> bool:
    """Whether the file is Python of this version at all."""
    try:
        compile(source.read_bytes(), str(source), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def schemas() -> Iterator[str]:
    """Every database is there, with its version."""
    for database in DATABASES:
        table = Path("/var/lib/mysql", database, "alembic_version.ibd")
        version = Path("/usr/share/openstack-lab/schema", f"{database}.version")
        if not table.is_file():
            yield f"no database: {table}"
        if not version.is_file() or not re.fullmatch(r"head=\w[\w ]*\npackage=\S+=\S+\n", version.read_text()):
            yield f"no version: {version}"


def main() -> None:
    """Run all checks."""
    problems = [
        problem for check in (packages, kept, files, wants, units, identity, modules, schemas) for problem in check()
    ]
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
