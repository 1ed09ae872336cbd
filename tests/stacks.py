"""The committed stacks as the tests use them: loaded like the engine does, with a fixed master secret."""

import copy
from pathlib import Path
from typing import Any

import yaml

from components import config

CHECKOUT = Path(__file__).resolve().parent.parent
STACKS = ("lab", "compact")
MASTER = "test-master-secret-of-forty-characters.."


def values(stack: str) -> dict[str, Any]:
    """Defaults of Pulumi.yaml under the stack's own values, keys without namespace."""
    project = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())
    defaults = {key: entry["default"] for key, entry in project["config"].items() if "default" in entry}
    own = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())["config"]
    own = {key.removeprefix(f"{config.PROJECT}:"): value for key, value in own.items()}
    return copy.deepcopy(defaults | own | {"masterSecret": MASTER})


def on_loopback() -> config.Config:
    """The compact stack with every address on loopback: .101 and .107 are its nodes', .248 the virtual one."""
    nodes = values("compact")["nodes"]
    for node in nodes.values():
        node["address"] = node["address"].replace("172.16.", "127.0.")
    return load(
        "compact",
        nodes=nodes,
        providerNetwork="127.0.0.0/16",
        vip="127.0.0.248",
        allocationPool="127.0.100.10-127.0.100.200",
    )


def facts() -> dict[str, str]:
    """What set-up would say of a machine; any existing file stands for template and image."""
    return {
        "libvirt_uri": "qemu:///system",
        "pool": "pool",
        "domain_type": "qemu",
        "template": __file__,
        "template_source": "",
        "image": __file__,
        "image_source": "",
    }


def load(stack: str, **changes: Any) -> config.Config:
    """The stack's configuration with some keys changed."""
    return config.load(values(stack) | changes, facts())
