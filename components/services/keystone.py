"""Keystone: Fernet tokens, credential keys, bootstrap of RegionOne (guide 4.7.1)."""

from components.services.ini import Ini
from components.services.model import (
    ConfigFile,
    Endpoint,
    Listener,
    Migration,
    Release,
    Service,
    Site,
    Task,
    When,
    constant,
)
from components.topology import Node, Role

PORT = 5000
ADMIN_ROLE = "admin"


def authtoken(site: Site, user: str) -> Ini:
    """The section by which a service checks tokens, the same for all of them (guide 4.7.2)."""
    return {
        "keystone_authtoken": {
            "www_authenticate_uri": f"http://{site.vip_name}:{PORT}",
            "auth_url": f"http://{site.vip_name}:{PORT}",
            "memcached_servers": f"{site.vip_name}:11211",
            "auth_type": "password",
            "project_domain_name": "Default",
            "user_domain_name": "Default",
            "project_name": "service",
            "username": user,
            "password": f"@{user}_identity_password@",
        }
    }


def login(site: Site, user: str) -> dict[str, str]:
    """Options by which one service uses another as `user`, the same in every such section (guide 4.7.2, 4.7.3)."""
    return {
        "auth_url": f"http://{site.vip_name}:{PORT}",
        "auth_type": "password",
        "project_domain_name": "Default",
        "user_domain_name": "Default",
        "region_name": site.region,
        "project_name": "service",
        "username": user,
        "password": f"@{user}_identity_password@",
    }


def restart_after(site: Site, user: str, seconds: int) -> str:
    """Line of a script: a running service keeps the former password of `user` as long as Keystone does."""
    what = f"Keystone to take the present password of {user}"
    url = f"http://{site.vip_name}:{PORT}/v3/auth/tokens"
    return f"""restart_after=('{what}' {seconds} keystone_takes {url} {user} "${{secret[{user}_identity_password]}}")"""


def _keystone_conf(site: Site, _node: Node) -> Ini:
    return {
        "database": {"connection": site.database_url("keystone", "keystone")},
        "token": {"provider": "fernet"},
        "cache": {
            "enabled": True,
            "backend": "dogpile.cache.memcached",
            "memcache_servers": f"{site.vip_name}:11211",
        },
    }


_TOKEN_KEYS = "/usr/local/sbin/keystone-token-keys"
_TOKEN_SEED = "/etc/keystone/token-seed"

_TOKEN_KEYS_SCRIPT = """\
#!/usr/bin/python3
# keystone-token-keys SEED DIRECTORY [TIME]: Keystone's Fernet keys of the week. 2, the highest, makes tokens; 1 is last
# week's; 0 is next week's, for tokens of a controller that is ahead. They follow from seed and date: all controllers
# have the same without a word between them.
import base64, hashlib, hmac, os, sys, time

seed, directory = open(sys.argv[1], "rb").read().strip(), sys.argv[2]
week = int(float(sys.argv[3]) if len(sys.argv) > 3 else time.time()) // (7 * 24 * 3600)
# In this order a key that makes tokens can read them at every moment.
for number, which in ((1, week - 1), (2, week), (0, week + 1)):
    key = base64.urlsafe_b64encode(hmac.new(seed, str(which).encode(), hashlib.sha256).digest())
    new = os.path.join(directory, f".{number}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key)
    os.replace(new, os.path.join(directory, str(number)))
"""

_TOKEN_KEYS_SERVICE = f"""\
[Unit]
Description=Keystone's token keys of the week

[Service]
Type=oneshot
User=keystone
ExecStart={_TOKEN_KEYS} {_TOKEN_SEED} /etc/keystone/fernet-keys
"""

_TOKEN_KEYS_TIMER = """\
[Unit]
Description=Another token key of Keystone every week

[Timer]
OnCalendar=Thu 00:00:00 UTC
Persistent=true

[Install]
WantedBy=timers.target
"""
"""Weeks since 1970 begin on Thursdays."""


_CREDENTIAL_KEYS = "/etc/keystone/credential-keys"


def _keys(_site: Site, _node: Node) -> str:
    """Token keys of this week; and what `keystone-manage credential_setup` leaves, without its start-up time."""
    credentials = "".join(
        f"[ -e {_CREDENTIAL_KEYS}/{number} ] ||"
        f" file {_CREDENTIAL_KEYS}/{number} keystone:keystone 0600 < <(printf %s @credential_{number}_fernet@)\n"
        for number in (0, 1)
    )
    return f"""install -d -m 0700 -o keystone -g keystone /etc/keystone/fernet-keys {_CREDENTIAL_KEYS}
run_as keystone {_TOKEN_KEYS} {_TOKEN_SEED} /etc/keystone/fernet-keys
{credentials}"""


def own_roles(release: Release) -> tuple[str, ...]:
    """The roles of Keystone's own that somebody has, in the order in which `bootstrap` tells their identifiers."""
    return (ADMIN_ROLE, *release.user_roles, *release.service_roles)


def role_step(service: Service, role: str) -> str:
    """Name of the resource that gives a service's user a role."""
    return service.step("role" if role == ADMIN_ROLE else f"role-{role}")


def _bootstrap(site: Site, _node: Node) -> str:
    assert KEYSTONE.endpoint is not None
    url = site.url(KEYSTONE.endpoint)
    identifiers = "".join(
        f"""query_as keystone "${{secret[keystone_database_password]}}" {site.vip_name} keystone \\
  "SELECT id FROM role WHERE name = '{role}' AND domain_id = '<<null>>'"
"""
        for role in own_roles(site.release)
    )
    return f"""export OS_BOOTSTRAP_PASSWORD="${{secret[admin_identity_password]}}"
run_as keystone keystone-manage bootstrap --bootstrap-region-id {site.region} \\
  --bootstrap-admin-url {url} --bootstrap-internal-url {url} --bootstrap-public-url {url}
{identifiers}"""


KEYSTONE = Service(
    name="keystone",
    roles=(Role.CONTROLLER,),
    after=("network", "mariadb", "memcached", "haproxy", "keepalived"),
    files=(
        ConfigFile(path="/etc/keystone/keystone.conf", content=_keystone_conf, group="keystone", mode="0640"),
        ConfigFile(path=_TOKEN_SEED, content=constant("@token_fernet@\n"), group="keystone", mode="0640"),
        ConfigFile(path=_TOKEN_KEYS, content=constant(_TOKEN_KEYS_SCRIPT), mode="0755"),
        ConfigFile(path="/etc/systemd/system/keystone-token-keys.service", content=constant(_TOKEN_KEYS_SERVICE)),
        ConfigFile(path="/etc/systemd/system/keystone-token-keys.timer", content=constant(_TOKEN_KEYS_TIMER)),
    ),
    migrations=(Migration(database="keystone", command="keystone-manage db_sync"),),
    tasks=(
        Task(name="keys", script=_keys, once=False),
        Task(name="bootstrap", script=_bootstrap, when=When.BESIDE_START),
    ),
    listeners=(Listener(name="keystone-api", port=PORT),),
    endpoint=Endpoint(type="identity", description="OpenStack Identity", port=PORT, path="/v3/"),
)
"""`bootstrap` makes its own service, endpoints and admin; its output is the identifiers of `own_roles`, a line each."""
