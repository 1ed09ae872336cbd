"""Every secret of a stack, for tools that have to know one when they see it."""

import base64

from components import remote
from components.cloud.clients import TENANT_KEY
from components.config import Config, secret_names
from components.secrets import guide_password
from components.services import haproxy


def values(config: Config) -> set[str]:
    """Every password and key of the lab; without the guide's own, which are public."""
    site, secrets = config.site, config.secrets
    known = {
        value
        for name in secret_names(site) | set(secrets.overrides)
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
