"""Every secret of a stack, for tools that have to know one when they see it."""

import base64
from collections.abc import Iterator

from components import remote
from components.cloud.clients import ADMIN, DEMO, TENANT_KEY
from components.config import Config
from components.secrets import guide_password
from components.services import haproxy
from components.services.model import Site


def values(config: Config) -> set[str]:
    """Every password and key of the lab; without the guide's own, which are public."""
    site, secrets = config.site, config.secrets
    known = {
        value
        for name in names(config)
        if (value := secrets.value(name))
        if name in secrets.overrides or not (secrets.guide and value == guide_password(name))
    }
    statistics = f"{haproxy.STATS_USER}:{secrets.value('haproxy_stats_password')}"
    known |= {secrets.master, secrets.machine or secrets.master, base64.b64encode(statistics.encode()).decode()}
    keys = [
        remote.login_key_pair(secrets),
        secrets.ssh_key(TENANT_KEY),
        *(remote.host_key_pair(node, secrets) for node in site.topology.nodes),
    ]
    # A key is known by each of its lines, wherever its line ends went.
    return known | {line for key in keys for line in key.private.splitlines() if not line.startswith("-----")}


def names(config: Config) -> set[str]:
    """Names of all secrets but the keys for SSH."""
    site, secrets = config.site, config.secrets
    found = {f"{service.name}_database_password" for service in site.catalogue if service.databases}
    found |= {f"{service.name}_identity_password" for service in site.catalogue if service.has_user}
    found |= {client.password_name for client in (ADMIN, DEMO)} | set(secrets.overrides)
    return found | secrets.names(_texts(site))


def _texts(site: Site) -> Iterator[str]:
    """All texts that may name secrets."""
    for service in site.catalogue:
        for node in service.nodes(site.topology):
            yield from (file.text for file in site.files(service, node))
            yield from (task.script(site, node) for task in service.tasks)
