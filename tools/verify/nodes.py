"""The questions that nodes answer over SSH."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from components import remote
from components.secrets import Secrets
from components.services import nova
from components.services.model import Service, Site
from components.topology import Node
from tools.verify import ssh, web
from tools.verify.model import (
    Clock,
    FileState,
    Grant,
    NodeReport,
    UnansweredError,
    UnitState,
    UpgradeCheck,
    UpgradeChecks,
)

UPGRADE_SECONDS = 600
"""Limit of an `upgrade check`, whose start alone takes half a minute under emulation, and minutes on a busy machine."""

_UNIT_PROPERTIES = ("ActiveState", "SubState", "UnitFileState")
_RULE = "---"
_UPGRADE_CHECK = re.compile(r"Check: (.*?) Result: (\w+) Details: (.*?)(?= Check: |$)")
"""A cell of the table, its lines joined. Only some services' commands can print JSON."""

_CELLS = """\
url=$(sed -n '/^\\[api_database\\]/,/^\\[/s/^connection *= *//p' {configuration})
url=${{url#*://}} user=${{url%%:*}} place=${{url##*@}}
password=${{url#*:}} password=${{password%%@*}} database=${{place#*/}}
MYSQL_PWD=$password mysql --batch --skip-column-names -u "$user" -h "${{place%%/*}}" "${{database%%\\?*}}" -e "
SELECT cell_mappings.name, host_mappings.host
FROM cell_mappings LEFT JOIN host_mappings ON host_mappings.cell_id = cell_mappings.id
WHERE NOT cell_mappings.disabled"
"""
"""The compute API does not show mappings. The database's password stays on the node, out of every command line."""


_HOLDINGS = """\
for file in {files}; do
  [ ! -f "$file" ] || echo "$(stat -c '%U:%G 0%a' "$file") $(sha256sum <"$file" | cut -d ' ' -f 1) $file"
done
echo {rule}
({library} </dev/null && {absent})"""

_GRANTS = r"""
set -o pipefail
for user in {users}; do
  printf "SHOW GRANTS FOR '$user'@'%s';\n" localhost %
done | mysql --force --batch --skip-column-names |
  tr "'" '`' | sed -n 's/^GRANT ALL PRIVILEGES ON `\([^`]*\)`\.\* TO `\([^`]*\)`@`\([^`]*\)`.*/\2 \3 \1/p'
"""
"""Only lines without the hash of a password leave the node. A user who is not there is no error; no answer is one."""


def run(node: Node, script: str, secrets: Secrets, *, seconds: float) -> str:
    """Standard output of a script run as root on a node."""
    return fetch(node, script, secrets, seconds=seconds).decode(errors="replace")


def fetch(node: Node, script: str, secrets: Secrets, *, seconds: float, stdin: bytes = b"") -> bytes:
    """The same as bytes, with something to read for the script."""
    login, host = remote.login_key_pair(secrets), remote.host_key_pair(node, secrets)
    return ssh.fetch(str(node.address), script, login=login, host=host, seconds=seconds, stdin=stdin)


def report(node: Node, site: Site, secrets: Secrets) -> NodeReport:
    """Log in to a node once and have it say everything."""
    units = every_unit(site)
    files = [file.path for file in (*remote.foundation(site), *site.files_on(node))]
    packages = shlex.join(site.packages(node))
    script = f"\necho {_RULE}\n".join(
        [
            f"ip -4 -o address show to {site.topology.vip}",
            "df --output=avail --block-size=1M / | tail -1",
            site.release.clock(site, node),
            holdings_script(files, f". {remote.LIBRARY_PATH}", f"{site.release.absent} {packages}"),
            shlex.join(["systemctl", "show", f"--property={','.join(_UNIT_PROPERTIES)}", "--", *units]),
        ]
    )
    return read_report(run(node, script, secrets, seconds=web.SECONDS), units)


def holdings_script(files: Iterable[str], library: str, absent: str) -> str:
    """Script that prints owner, mode, SHA-256 and path of each file that is there, then the packages that are not.

    `absent`: the command for these, found once `library` is read; without it nothing is said of packages.
    """
    return _HOLDINGS.format(files=shlex.join(files), rule=_RULE, library=library, absent=absent)


def units_of(site: Site, node: Node) -> tuple[str, ...]:
    """The units that are to run on a node, in catalogue order; services may have one in common."""
    return _units(site, site.services(node))


def every_unit(site: Site) -> tuple[str, ...]:
    """The units of all services, which a template has on every node."""
    return _units(site, site.catalogue)


def _units(site: Site, services: Iterable[Service]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(unit for service in services for unit in site.packaging(service).units))


def grants(node: Node, users: Iterable[str], secrets: Secrets) -> frozenset[Grant]:
    """What the database lets these users do, as its root is told on its own machine."""
    return read_grants(run(node, grants_script(users), secrets, seconds=web.SECONDS))


def grants_script(users: Iterable[str]) -> str:
    """Prints user, place and database for each grant of a whole one. Fails if the database does not answer."""
    return _GRANTS.format(users=" ".join(users))


def read_grants(output: str) -> frozenset[Grant]:
    """What the script for grants printed."""
    return frozenset(Grant(*line.split()) for line in output.splitlines())


def read_report(output: str, units: Sequence[str]) -> NodeReport:
    """What a node's script printed."""
    parts = output.split(f"{_RULE}\n")
    blocks = parts[-1].strip().split("\n\n")
    if len(parts) != 6 or not parts[1].strip().isdigit() or len(blocks) != len(units):
        raise UnansweredError(f"not understood: {output.strip()[-200:]!r}")
    states = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
    return NodeReport(
        holds_vip=bool(parts[0].strip()),
        free=int(parts[1]),
        clock=_clock(parts[2].strip()),
        files=dict(_file(line) for line in parts[3].splitlines()),
        absent=tuple(parts[4].split()),
        units={
            unit: UnitState(*(state.get(each, "") for each in _UNIT_PROPERTIES))
            for unit, state in zip(units, states, strict=True)
        },
    )


def _file(line: str) -> tuple[str, FileState]:
    owner, mode, sha256, path = line.split(" ", 3)
    return path, FileState(owner=owner, mode=mode, sha256=sha256)


def _clock(line: str) -> Clock | UnansweredError:
    """What the release's `clock` printed."""
    fields = line.split(",")
    try:
        return Clock(source=fields[1], stratum=int(fields[2]), offset=float(fields[4]), leap=fields[-1])
    except (IndexError, ValueError):
        return UnansweredError(f"clock: {line[-200:]}")


def cells(node: Node, secrets: Secrets) -> Mapping[str, Sequence[str]]:
    """The hosts mapped to each of Nova's cells, as a controller finds them in the database."""
    return read_cells(run(node, cells_script(), secrets, seconds=web.SECONDS))


def cells_script(configuration: str = nova.CONFIGURATION.path) -> str:
    """Script that prints a line for each mapping: cell and host, which is NULL for a cell without hosts."""
    return _CELLS.format(configuration=shlex.quote(configuration))


def read_cells(output: str) -> Mapping[str, Sequence[str]]:
    """What the script for cells printed."""
    mapped: dict[str, list[str]] = {}
    for line in output.splitlines():
        cell, _, host = line.partition("\t")
        hosts = mapped.setdefault(cell, [])
        if host != "NULL":
            hosts.append(host)
    return mapped


def upgrade(node: Node, service: Service, secrets: Secrets) -> UpgradeChecks:
    """What a service's `upgrade check` says, run on a controller as the service's own user."""
    name = service.name
    command = f"timeout {UPGRADE_SECONDS} runuser -u {name} -- {name}-status upgrade check"
    script = f"said=$({command} 2>&1); echo $?; printf '%s\\n' \"$said\""
    return read_upgrade(run(node, script, secrets, seconds=UPGRADE_SECONDS + web.SECONDS))


def read_upgrade(output: str) -> UpgradeChecks:
    """What the script for an upgrade check printed: the exit status, then a table among whatever else was said."""
    status, _, said = output.partition("\n")
    lines = [line.strip("| ") for line in said.splitlines() if line.startswith("|")]
    # Words are broken at hyphens only.
    text = "".join(line if re.search(r"\S-$", line) else f"{line} " for line in lines).strip()
    results = tuple(
        UpgradeCheck(name=name, result=result, details="" if details == "None" else " ".join(details.split()))
        for name, result, details in _UPGRADE_CHECK.findall(text)
    )
    if not results:
        last = " ".join(said.split())[-300:]
        raise UnansweredError(f"exit status {status}: {last or 'it said nothing'}")
    return UpgradeChecks(status=int(status), results=results)
