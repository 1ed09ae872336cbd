"""The documents by which a machine gets its name, keys and addresses at first boot. Pure."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from string import Template

from components.secrets import KeyPair
from components.services.model import Site
from components.topology import Node, mac

TEMPLATES = Path(__file__).resolve().parent.parent.parent / "cloud-init"


@dataclass(frozen=True, slots=True)
class CloudInit:
    """NoCloud's three documents, as text."""

    user_data: str
    network_config: str
    meta_data: str


def render(node: Node, site: Site, login: KeyPair, host_key: KeyPair) -> CloudInit:
    """Fill in cloud-init/*.yaml. The instance-id follows the content, so that a changed machine starts afresh."""
    topology = site.topology
    user_data = _fill(
        site.release.user_data,
        fqdn=node.fqdn,
        authorized_key=login.public,
        host_key_private=host_key.private,
        host_key_public=host_key.public,
    )
    network_config = _fill(
        "network-config.yaml",
        provider_mac=mac(node.address).lower(),
        provider_interface=topology.provider.interface(node.address),
        gateway=str(topology.provider.gateway),
        dns=list(site.dns),
        internal_mac=mac(node.internal_address).lower(),
        internal_interface=topology.internal.interface(node.internal_address),
    )
    digest = hashlib.sha256((user_data + network_config).encode()).hexdigest()[:12]
    meta_data = _fill("meta-data.yaml", instance_id=f"{node.machine}-{digest}", fqdn=node.fqdn)
    return CloudInit(user_data, network_config, meta_data)


def _fill(template: str, **values: str | list[str]) -> str:
    """JSON is YAML, and safe for any value."""
    text = (TEMPLATES / template).read_text()
    return Template(text).substitute({name: json.dumps(value) for name, value in values.items()})
