"""One master secret gives everything; nothing gives it away."""

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization

from components.secrets import PASSWORD, Secrets

SECRETS = Secrets(master="m" * 40)


def test_names_give_different_secrets_that_stay_the_same() -> None:
    """Derivation is by name, not by order or time."""
    first = {name: SECRETS.value(f"{name}_database_password") for name in ("keystone", "glance")}
    assert first["keystone"] != first["glance"]
    assert first == {name: Secrets(master="m" * 40).value(f"{name}_database_password") for name in first}


def test_another_master_secret_changes_everything() -> None:
    """What rotation rests on."""
    assert SECRETS.value("glance_database_password") != Secrets(master="n" * 40).value("glance_database_password")


def test_what_the_machines_were_made_with_lasts_as_long_as_they_do() -> None:
    """Their keys, Keystone's for credentials, and the digests by which services restart; every password is another."""
    rotated = Secrets(master="n" * 40, machine="m" * 40)
    for name in ("glance_database_password", "admin_identity_password", "token_fernet", "keepalived_vrrp"):
        assert rotated.value(name) == Secrets(master="n" * 40).value(name)
    for name in ("credential_0_fernet", "credential_1_fernet"):
        assert rotated.value(name) == SECRETS.value(name)
    assert rotated.ssh_key("operator") == SECRETS.ssh_key("operator")
    assert rotated.fingerprint({}) == SECRETS.fingerprint({})


def test_derived_passwords_need_no_quoting_anywhere() -> None:
    """They stand in URLs, SQL, INI files and shell."""
    for name in ("root_database_password", "openstack_rabbitmq_password", "keepalived_vrrp"):
        assert PASSWORD.fullmatch(SECRETS.value(name))


def test_keepalived_takes_eight_characters() -> None:
    """keepalived.conf(5): auth_pass is cut after eight."""
    assert len(SECRETS.value("keepalived_vrrp")) == 8


def test_the_guides_passwords_are_the_guides() -> None:
    """Chapter 4.1.3: database user glance has glance123, Keystone user glance has glance; root has openstack123."""
    guide = Secrets(master="m" * 40, guide=True)
    assert guide.value("glance_database_password") == "glance123"
    assert guide.value("glance_identity_password") == "glance"
    assert guide.value("root_database_password") == "openstack123"
    assert guide.value("openstack_rabbitmq_password") == "openstack123"
    assert guide.value("admin_identity_password") == "admin"
    assert guide.value("haproxy_stats_password") == SECRETS.value("haproxy_stats_password")


def test_an_override_wins() -> None:
    """Over both the guide's and the derived one."""
    secrets = Secrets(master="m" * 40, guide=True, overrides={"glance_database_password": "mine-1"})
    assert secrets.value("glance_database_password") == "mine-1"


def test_fernet_keys_are_fernet_keys() -> None:
    """The library itself takes them."""
    key = Fernet(SECRETS.value("token_fernet"))
    assert key.decrypt(key.encrypt(b"token")) == b"token"


def test_ssh_keys_are_a_pair_and_the_same_at_every_run() -> None:
    """A key that changed with every run would replace every machine."""
    pair = SECRETS.ssh_key("operator")
    private = serialization.load_pem_private_key(pair.private.encode(), None)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert pair.public == f"{public.decode()} operator"
    assert pair == Secrets(master="m" * 40).ssh_key("operator")


def test_placeholders_of_files_and_scripts_are_found() -> None:
    """`@name@` in files, `${secret[name]}` in scripts; mail addresses and other at-signs are left alone."""
    texts = ["mysql://u:@glance_database_password@@host", 'x "${secret[root_database_password]}"', "root@localhost @x@"]
    assert list(SECRETS.values(texts)) == ["glance_database_password", "root_database_password"]


def test_the_fingerprint_changes_with_a_value_and_shows_none() -> None:
    """It may stand in clear in the state."""
    values = {"a_password": "one", "b_password": "two"}
    assert SECRETS.fingerprint(values) != SECRETS.fingerprint(values | {"a_password": "three"})
    assert SECRETS.fingerprint(values) == SECRETS.fingerprint(dict(reversed(values.items())))


def test_nothing_secret_shows_in_a_repr() -> None:
    """Tracebacks and logs print representations."""
    secrets = Secrets(master="m" * 40, overrides={"glance_database_password": "mine-1"})
    assert "mmmm" not in repr(secrets)
    assert "mine-1" not in repr(secrets)
    assert "PRIVATE" not in repr(secrets.ssh_key("operator"))
