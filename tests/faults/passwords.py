"""Run inside a lab's shell: `passwords STACK` tries the guide's passwords, which everybody knows.

Prints JSON: who was let in with the `guide`'s and, as proof that the questions are good ones, with their `own`.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial

import asyncssh
from keystoneauth1.exceptions import Unauthorized
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from components.cloud.clients import ADMIN, DEMO
from components.config import Config
from components.secrets import guide_password
from components.services import keystone
from components.topology import Node, Role
from tools import stack_values
from tools.verify import nodes

SSH_PASSWORD = "openstack123"

DATABASE = """
read -r MYSQL_PWD
export MYSQL_PWD
mysql -u {user} -h {host} -e "SELECT 1" >/dev/null 2>&1 && echo accepted || echo refused
"""

QUEUE = """
exec python3 -c '
import amqp, sys
try:
    amqp.Connection("{host}:5672", "{user}", sys.stdin.readline().strip(), connect_timeout=30).connect()
    print("accepted")
except amqp.exceptions.AccessRefused:
    print("refused")
'
"""


def main() -> None:
    """Try all of it."""
    config = stack_values.complete(sys.argv[1])
    asked: list[tuple[str, str]] = []
    own: list[str] = []
    guide: list[str] = []
    for who, name, takes in questions(config):
        for password, takers in ((config.secrets.value(name), own), (guide_password(name), guide)):
            assert password, name
            asked.append((who, name))
            takers += [who] if takes(password) else []
    if on_node(config, QUEUE, "guest", "guest"):
        guide.append("queue guest")
    guide += [f"ssh {node.name}" for node in config.site.topology.nodes if asyncio.run(logs_in(node))]
    print(json.dumps({"tried": len(asked), "own": sorted(own), "guide": sorted(guide)}))


def questions(config: Config) -> Iterator[tuple[str, str, Callable[[str], bool]]]:
    """Whom to ask about: a name to tell, the name of the password, and whether it is taken."""
    services = config.site.catalogue
    users = [(client.username, client.project) for client in (ADMIN, DEMO)]
    for user, project in (*users, *((service.name, "service") for service in services if service.has_user)):
        yield f"keystone {user}", f"{user}_identity_password", partial(gets_token, config, user, project)
    for user in (*(service.name for service in services if service.databases), "root"):
        yield f"database {user}", f"{user}_database_password", partial(on_node, config, DATABASE, user)
    yield "queue openstack", "openstack_rabbitmq_password", partial(on_node, config, QUEUE, "openstack")


def gets_token(config: Config, user: str, project: str, password: str) -> bool:
    """Whether Keystone gives a user a token."""
    assert keystone.KEYSTONE.endpoint
    login = v3.Password(
        auth_url=config.site.url(keystone.KEYSTONE.endpoint),
        username=user,
        password=password,
        project_name=project,
        user_domain_name="Default",
        project_domain_name="Default",
    )
    try:
        return bool(Session(login).get_token())
    except Unauthorized:
        return False


def on_node(config: Config, script: str, user: str, password: str) -> bool:
    """Whether a service takes a user who comes from a controller; whoever comes from elsewhere does not get so far."""
    controller = config.site.topology.having(Role.CONTROLLER)[0]
    said = nodes.fetch(
        controller,
        script.format(user=user, host=config.site.vip_name),
        config.secrets,
        seconds=300,
        stdin=f"{password}\n".encode(),
    )
    assert said in (b"accepted\n", b"refused\n"), said
    return said == b"accepted\n"


async def logs_in(node: Node) -> bool:
    """Whether a node lets root in with a password."""
    try:
        async with asyncssh.connect(
            str(node.address),
            username="root",
            password=SSH_PASSWORD,
            client_keys=[],
            known_hosts=None,
            config=None,
            agent_path=None,
        ):
            return True
    except asyncssh.PermissionDenied:
        return False


if __name__ == "__main__":
    main()
