"""Every password and key of a lab, derived from one master secret by HKDF (RFC 5869) with its name. Pure."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PASSWORD = re.compile(r"[A-Za-z0-9._~-]{4,64}")
"""Passwords stand in URLs and configuration files, so only characters that need no quoting in either."""

_KINDS = ("password", "secret", "fernet", "vrrp")
_NAME = rf"[a-z0-9_]+_(?:{'|'.join(_KINDS)})"

PLACEHOLDER = re.compile(rf"@({_NAME})@|\$\{{secret\[({_NAME})\]\}}")
"""How a text names a secret: `@name@` in a file, `${secret[name]}` in a script. The value takes its place on the
machine, never before."""

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

GUIDE = {
    "root_database_password": "openstack123",
    "openstack_rabbitmq_password": "openstack123",
    "admin_identity_password": "admin",
    "myuser_identity_password": "myuser",
    "neutron_metadata_secret": "2GosJ41hQbkcku8",
}
"""The guide's own, besides those of services' database and Keystone users."""


def guide_password(name: str) -> str | None:
    """The guide's own, well-known password of that name, or None where the guide has none (chapter 4.1.3)."""
    if name in GUIDE:
        return GUIDE[name]
    service, _, rest = name.partition("_")
    return {"database_password": f"{service}123", "identity_password": service}.get(rest)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An SSH key pair: private in PEM, public as one line of the authorized_keys format."""

    private: str = field(repr=False)
    public: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The source of all secrets. `overrides` by name win over the guide's, which win over derived ones.

    `machine` is what lasts as long as the machines follows from: their keys, and Keystone's for credentials;
    nothing means `master`.
    """

    master: str = field(repr=False)
    machine: str = field(default="", repr=False)
    guide: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict, repr=False)

    def value(self, name: str) -> str:
        """The secret that `@name@` stands for; its last word tells its kind: `…_password`, `…_fernet` or `…_vrrp`."""
        if name in self.overrides:
            return self.overrides[name]
        if self.guide and (well_known := guide_password(name)) is not None:
            return well_known
        match name.rpartition("_")[2]:
            case "password" | "secret":
                return base64.b32encode(self._derive(name, 15)).decode().lower()
            case "fernet":
                # What credentials are encrypted by has to stay; a token is another one within the hour.
                source = self.machine if name.startswith("credential_") else self.master
                return base64.urlsafe_b64encode(self._derive(name, 32, source)).decode()
            case "vrrp":
                return base64.b32encode(self._derive(name, 5)).decode().lower()
            case _:
                raise ValueError(f"{name!r} is no secret's name: it ends in _password, _secret, _fernet or _vrrp")

    def values(self, texts: Iterable[str]) -> dict[str, str]:
        """The secrets that the texts name with placeholders, sorted by name."""
        return {name: self.value(name) for name in sorted(self.names(texts))}

    def names(self, texts: Iterable[str]) -> set[str]:
        """The names of the secrets that the texts hold placeholders of."""
        return {in_file or in_script for text in texts for in_file, in_script in PLACEHOLDER.findall(text)}

    def fill(self, text: str) -> str:
        """The text with every secret in place of its placeholder, as it stands on the machine."""
        return PLACEHOLDER.sub(lambda found: self.value(found[1] or found[2]), text)

    def fingerprint(self, values: Mapping[str, str]) -> str:
        """A short digest that changes with any of the values and tells nothing about them."""
        keyed = hashlib.blake2b(key=self._derive("fingerprint", 32, self.machine), digest_size=8)
        for name, value in sorted(values.items()):
            keyed.update(f"{name}={value}\n".encode())
        return keyed.hexdigest()

    def ssh_key(self, name: str) -> KeyPair:
        """An ECDSA P-256 key: unlike Ed25519 its PEM form is the same at every run, and every OpenSSH reads it."""
        return _ssh_key(self._derive(f"ssh:{name}", 48, self.machine), name)

    def _derive(self, name: str, length: int, source: str = "") -> bytes:
        info, source = f"openstack-lab:{name}".encode(), source or self.master
        return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(source.encode())


@cache
def _ssh_key(seed: bytes, name: str) -> KeyPair:
    scalar = int.from_bytes(seed, "big") % (_P256_ORDER - 1) + 1
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode(), f"{public.decode()} {name}")
