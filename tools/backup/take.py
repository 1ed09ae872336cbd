"""`make backup`: read all databases at one moment, and Keystone's keys."""

import argparse
import shlex
from collections.abc import Sequence

from components.config import Config, secret_names
from components.topology import Role
from tools import backup, stack_values
from tools.steps import StepError
from tools.verify import nodes
from tools.verify.model import UnansweredError

_DUMP = """\
set -o pipefail
mysqldump --single-transaction --quick --routines --skip-comments --add-drop-database --databases {databases} | gzip -1
"""
"""One transaction reads all of them: the same moment, and nobody has to wait."""

_KEYS = "tar -C /etc/keystone -cz fernet-keys credential-keys"


def lab(config: Config) -> backup.Lab:
    """What a backup of this lab holds: the databases of all services that run, and the users' passwords."""
    site, secrets = config.site, config.secrets
    databases = (database for each in site.catalogue if each.nodes(site.topology) for database in each.databases)
    users = (name for name in secret_names(site) if name.endswith("_identity_password"))
    passwords = secrets.fingerprint({name: secrets.value(name) for name in users})
    return backup.Lab(site.release.name, tuple(databases), passwords)


def main(argv: Sequence[str]) -> int:
    """Make the backup NAME of the stack named by `--stack`."""
    parser = argparse.ArgumentParser(prog="python -m tools backup")
    parser.add_argument("--stack", required=True)
    parser.add_argument("name", metavar="NAME")
    arguments = parser.parse_args(argv)
    file = backup.vacant(arguments.stack, arguments.name)
    config = stack_values.complete(arguments.stack)
    topology = config.site.topology
    head = backup.header(arguments.stack, arguments.name, lab(config))
    dump = _DUMP.format(databases=shlex.join(head.databases))
    try:
        parts = {
            backup.DATABASES: nodes.fetch(
                topology.having(Role.DATABASE)[0], dump, config.secrets, seconds=backup.SECONDS
            ),
            backup.KEYS: nodes.fetch(
                topology.having(Role.CONTROLLER)[0], _KEYS, config.secrets, seconds=backup.SECONDS
            ),
        }
    except UnansweredError as error:
        raise StepError(f"no backup: {error}", "make status") from error
    backup.write(file, head, parts)
    size = f"{file.stat().st_size / 1024**2:.1f} MiB, encrypted"
    print(f"{file}: {len(head.databases)} databases and Keystone's keys, {size}")
    return 0
