"""Keystone: Fernet tokens, credential keys, bootstrap of RegionOne (guide 4.7.1)."""

from components.services.ini import Ini
from components.services.model import ConfigFile, Endpoint, Listener, Migration, Service, Site, Task, When
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


def _keys(_site: Site, _node: Node) -> str:
    return """seed_keys() {  # DIRECTORY KEY...: what `keystone-manage fernet_setup` leaves, without its start-up time
  local directory=$1 number=0 key
  shift
  install -d -m 0700 -o keystone -g keystone "$directory"
  [ -z "$(ls "$directory")" ] || return 0
  for key; do
    (umask 077; printf %s "$key" > "$directory/$number")
    number=$((number + 1))
  done
  chown keystone:keystone "$directory"/*
}
seed_keys /etc/keystone/fernet-keys "${secret[token_0_fernet]}" "${secret[token_1_fernet]}"
seed_keys /etc/keystone/credential-keys "${secret[credential_0_fernet]}" "${secret[credential_1_fernet]}"
"""


def _bootstrap(site: Site, _node: Node) -> str:
    assert KEYSTONE.endpoint is not None
    url = site.url(KEYSTONE.endpoint)
    return f"""export OS_BOOTSTRAP_PASSWORD="${{secret[admin_identity_password]}}"
run_as keystone keystone-manage bootstrap --bootstrap-region-id {site.region} \\
  --bootstrap-admin-url {url} --bootstrap-internal-url {url} --bootstrap-public-url {url}
query_as keystone "${{secret[keystone_database_password]}}" {site.vip_name} keystone \\
  "SELECT id FROM role WHERE name = '{ADMIN_ROLE}' AND domain_id = '<<null>>'"
"""


KEYSTONE = Service(
    name="keystone",
    roles=(Role.CONTROLLER,),
    after=("mariadb", "memcached", "haproxy", "keepalived"),
    files=(ConfigFile(path="/etc/keystone/keystone.conf", content=_keystone_conf, group="keystone", mode="0640"),),
    migrations=(Migration(database="keystone", command="keystone-manage db_sync"),),
    tasks=(
        Task(name="keys", script=_keys, once=False),
        Task(name="bootstrap", script=_bootstrap, when=When.BESIDE_START),
    ),
    listeners=(Listener(name="keystone-api", port=PORT),),
    endpoint=Endpoint(type="identity", description="OpenStack Identity", port=PORT, path="/v3/"),
)
"""`bootstrap` makes its own service, endpoints and admin; its output is the admin role's identifier."""
