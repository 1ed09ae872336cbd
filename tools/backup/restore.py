"""`make restore-db`: load all databases and Keystone's keys as they were; what came since is gone."""

import argparse
import shlex
from collections.abc import Sequence

from components.services import infrastructure
from components.topology import Role
from tools import backup, stack_values
from tools.backup.take import lab
from tools.steps import StepError
from tools.verify import nodes
from tools.verify.model import UnansweredError

_LOAD = """\
set -euo pipefail
evict() {{
  local kill="SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist WHERE user IN ({users})"
  while true; do
    mysql -BNe "$kill" | mysql --force || true
    sleep 1
  done
}}
mysql -e "SET GLOBAL read_only = 1"
evict &>/dev/null </dev/null &
trap 'kill $!; mysql -e "SET GLOBAL read_only = 0"' EXIT
zcat | mysql --init-command "SET SESSION lock_wait_timeout = 60"
"""
"""Nobody else writes meanwhile, and no connection holds on to a table for long: Keystone leaves transactions open after
its answers, and what waits for them makes its next request wait in turn. Services connect anew by themselves."""

_KEYS = """\
set -euo pipefail
rm -f /etc/keystone/fernet-keys/* /etc/keystone/credential-keys/*
tar -C /etc/keystone -xz
"""


def main(argv: Sequence[str]) -> int:
    """Load the backup NAME of the stack named by `--stack`; StepError before anything is changed if it does not fit."""
    parser = argparse.ArgumentParser(prog="python -m tools restore-db")
    parser.add_argument("--stack", required=True)
    parser.add_argument("name", metavar="NAME")
    arguments = parser.parse_args(argv)
    config = stack_values.complete(arguments.stack)
    site, topology = config.site, config.site.topology
    own = lab(config)
    parts = backup.read(arguments.stack, arguments.name, own)
    users = ", ".join(f"'{service.name}'" for service in site.catalogue if service.databases)
    flush = f"systemctl restart {shlex.join(site.packaging(infrastructure.MEMCACHED).units)}"
    scripts = [
        *((node, _LOAD.format(users=users), parts[backup.DATABASES]) for node in topology.having(Role.DATABASE)[:1]),
        *((node, _KEYS, parts[backup.KEYS]) for node in topology.having(Role.CONTROLLER)),
        # It remembers tokens and users that are no more.
        *((node, flush, b"") for node in infrastructure.MEMCACHED.nodes(topology)),
    ]
    try:
        for node, script, content in scripts:
            nodes.fetch(node, script, config.secrets, seconds=backup.SECONDS, stdin=content)
    except UnansweredError as error:
        raise StepError(f"not restored: {error}", "make restore-db again") from error
    print(f"restored {arguments.name}: {', '.join(own.databases)}")
    return 0
