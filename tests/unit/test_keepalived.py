"""Which load balancer holds the virtual address."""

import re

import pytest

from components.services.haproxy import KEEPALIVED
from tests import stacks


def priorities(dead: set[str]) -> dict[str, int]:
    """What each of the lab's load balancers claims, where HAProxy is not running on some."""
    nodes = stacks.values("lab")["nodes"]
    nodes["haproxy2"]["enabled"] = True
    site = stacks.load("lab", nodes=nodes).site
    claimed = {}
    for node in KEEPALIVED.nodes(site.topology):
        (file,) = site.files(KEEPALIVED, node)
        priority, weight = (int(re.findall(rf"{key} (-?\d+)", file.text)[0]) for key in ("priority", "weight"))
        claimed[node.name] = priority + (weight if node.name in dead else 0)
    return claimed


@pytest.mark.parametrize(
    ("dead", "holder"),
    [
        (set(), "haproxy1"),
        ({"haproxy2"}, "haproxy1"),
        ({"haproxy1"}, "haproxy2"),
        ({"haproxy1", "haproxy2"}, "haproxy1"),
    ],
)
def test_the_address_is_where_haproxy_runs(dead: set[str], holder: str) -> None:
    """Where it runs nowhere somebody holds it all the same: keepalived takes no priority below 1."""
    claimed = priorities(dead)
    assert max(claimed, key=lambda name: claimed[name]) == holder
    assert min(claimed.values()) >= 1
