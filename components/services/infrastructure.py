"""What OpenStack stands on: time, network, database, message queue, cache, load balancer (guide 4.1.3 to 4.6)."""

import json

from components.services.ini import Ini
from components.services.model import (
    EVERY_ROLE,
    ConfigFile,
    Listener,
    Service,
    Site,
    Task,
    When,
)
from components.topology import Node, Role


def chrony_conf(site: Site, node: Node) -> str:
    """The first controller asks the configured servers and is the lab's own clock where they are out of reach."""
    source = site.topology.having(Role.CONTROLLER)[0]
    # A socket for each request switches time stamps on and off, which patches the kernel's code: docs/measurements.md,
    # "A machine that hangs". One for all leaves them on.
    common = ["acquisitionport 0", "driftfile /var/lib/chrony/chrony.drift", "makestep 1 -1", "rtcsync"]
    if node == source:
        upstream = [f"pool {server} iburst" for server in site.ntp]
        return "\n".join([*upstream, "local stratum 10", f"allow {site.topology.provider.cidr}", *common]) + "\n"
    return "\n".join([f"server {source.fqdn} iburst minpoll 4 maxpoll 6", *common]) + "\n"


TIME = Service(name="time", roles=EVERY_ROLE)
"""All nodes' clocks, kept by the release's own program."""


NETWORK = Service(name="network", roles=EVERY_ROLE)
"""A permanent bridge that holds the node's address, so that Neutron's agent never takes it; all the release's.

What binds that address comes after it: it has none while it moves.
"""


def _openstack_cnf(_site: Site, node: Node) -> Ini:
    return {
        "mysqld": {
            "bind-address": str(node.address),
            "default-storage-engine": "innodb",
            "innodb_file_per_table": "on",
            "max_connections": 4096,
            "collation-server": "utf8_general_ci",
            "character-set-server": "utf8",
        }
    }


def _secure_database(site: Site, _node: Node) -> str:
    """What `mysql_secure_installation` does: only root of the machine itself stays, nobody's grants and `test` go.

    What MariaDB before 10.4 cannot do, a password besides the socket, stands in a comment that it does not read.
    """
    checks = "".join(
        f"CREATE USER IF NOT EXISTS 'haproxy'@'{node.address}';\n" for node in site.topology.having(Role.LOADBALANCER)
    )
    return f"""sql <<SQL
ALTER USER root@localhost IDENTIFIED VIA unix_socket
  /*M!100400 OR mysql_native_password USING PASSWORD('${{secret[root_database_password]}}') */;
DROP DATABASE IF EXISTS test;
DELETE FROM mysql.db WHERE User = '';
FLUSH PRIVILEGES;
{checks}SQL
sql <<'SQL' | sql
SELECT CONCAT('DROP USER ', QUOTE(User), '@', QUOTE(Host), ';') FROM mysql.user
WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
SQL
"""


MARIADB = Service(
    name="mariadb",
    roles=(Role.DATABASE,),
    after=("network",),
    files=(ConfigFile(path="/etc/my.cnf.d/openstack.cnf", content=_openstack_cnf),),
    tasks=(Task(name="secure", script=_secure_database, when=When.AFTER_START, once=False),),
    listeners=(
        Listener(
            name="mysql",
            port=3306,
            speaks_http=False,
            single=True,
            options=("option mysql-check user haproxy post-41", "timeout client 3h", "timeout server 3h"),
            clients=(Role.CONTROLLER,),
        ),
    ),
)
"""HAProxy checks with a user that may do nothing: bare TCP checks got the proxy blocked (guide 4.7.2)."""


def _rabbitmq_conf(_site: Site, node: Node) -> str:
    return f"listeners.tcp.1 = {node.address}:5672\nload_definitions = /etc/rabbitmq/definitions.json\n"


def _rabbitmq_env(site: Site, _node: Node) -> str:
    """One Erlang scheduler that sleeps when idle; nodes of a cluster there are none, so their port is loopback's."""
    schedulers = site.fact("rabbitmq", "schedulers")
    return (
        "NODENAME=rabbit@localhost\n"
        f'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="{schedulers} -kernel inet_dist_use_interface {{127,0,0,1}}"\n'
        "export ERL_EPMD_ADDRESS=127.0.0.1\n"
    )


def _definitions(site: Site, _node: Node) -> str:
    tags = json.loads(site.fact("rabbitmq", "no tags"))
    definitions = {
        "vhosts": [{"name": "/"}],
        "users": [{"name": "openstack", "password": "@openstack_rabbitmq_password@", "tags": tags}],
        "permissions": [{"user": "openstack", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    }
    return json.dumps(definitions, indent=2) + "\n"


RABBITMQ = Service(
    name="rabbitmq",
    roles=(Role.DATABASE,),
    after=("network",),
    files=(
        ConfigFile(path="/etc/rabbitmq/rabbitmq.conf", content=_rabbitmq_conf),
        ConfigFile(path="/etc/rabbitmq/rabbitmq-env.conf", content=_rabbitmq_env),
        ConfigFile(path="/etc/rabbitmq/definitions.json", content=_definitions, group="rabbitmq", mode="0640"),
    ),
    listeners=(
        Listener(
            name="rabbitmq",
            port=5672,
            speaks_http=False,
            single=True,
            options=("timeout client 3h", "timeout server 3h"),
            clients=(Role.CONTROLLER, Role.COMPUTE),
        ),
    ),
)
"""The user comes from a definitions file that is read at start: no password in an argument, no guest user."""


MEMCACHED = Service(
    name="memcached",
    roles=(Role.DATABASE,),
    after=("network",),
    listeners=(Listener(name="memcached", port=11211, speaks_http=False, single=True, clients=(Role.CONTROLLER,)),),
)
"""One cache for Keystone tokens, auth_token middleware and dashboard sessions."""
