"""The firewall's rules in a kernel: a load balancer's, loaded in a network namespace, with clients in another one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stacks

pytestmark = pytest.mark.machine

NODE, VIP = "172.16.0.105", "172.16.0.248"
HOST, CONTROLLER, COMPUTE, INSTANCE = "172.16.0.1", "172.16.0.101", "172.16.0.107", "172.16.100.10"
LISTEN = f"""
import socket, time
places = [("{VIP}", 3306), ("{VIP}", 5672), ("{VIP}", 5000), ("{NODE}", 22), ("0.0.0.0", 7777)]
sockets = [socket.create_server(place) for place in places]
print("listening", flush=True)
time.sleep(60)
"""
CONNECT = """
import json, socket, sys
def outcome(address, port):
    try:
        socket.create_connection((address, port), timeout=5, source_address=(sys.argv[1], 0)).close()
        return "open"
    except OSError as error:
        return type(error).__name__
print(json.dumps([outcome(address, port) for address, port in json.loads(sys.argv[2])]))
"""


def ip(*words: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *words], check=True, timeout=20)


def inside(namespace: str, *words: str) -> list[str]:
    """The command in a network namespace. Unlike `ip netns exec` it needs no mounts, which a chroot refuses."""
    return ["nsenter", f"--net=/run/netns/{namespace}", *words]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Namespace of the clients, beside one with the load balancer of the stack `lab`, where programs listen."""
    balancer, clients = (f"oslab-{name}-{os.getpid()}" for name in ("balancer", "clients"))
    site = stacks.load("lab").site
    node = next(node for node in site.topology.nodes if str(node.address) == NODE)
    (text,) = (file.text for file in site.files_on(node) if file.path == "/etc/nftables.conf")
    rules: Path = tmp_path_factory.mktemp("firewall") / "nftables.conf"
    rules.write_text(text)
    for name in (balancer, clients):
        ip("netns", "add", name)
    try:
        ip("link", "add", "eth0", "netns", balancer, "type", "veth", "peer", "name", "eth0", "netns", clients)
        for name, addresses in ((balancer, (NODE, VIP)), (clients, (HOST, CONTROLLER, COMPUTE, INSTANCE))):
            for address in addresses:
                subprocess.run(inside(name, "ip", "address", "add", f"{address}/16", "dev", "eth0"), check=True)
            for link in ("lo", "eth0"):
                subprocess.run(inside(name, "ip", "link", "set", link, "up"), check=True)
        for _ in range(2):  # the second time it replaces what is there
            subprocess.run(inside(balancer, "/usr/sbin/nft", "--file", str(rules)), check=True)
        with subprocess.Popen(inside(balancer, sys.executable, "-c", LISTEN), stdout=subprocess.PIPE) as listener:
            assert listener.stdout
            assert listener.stdout.readline() == b"listening\n"
            yield clients
            listener.terminate()
    finally:
        for name in (balancer, clients):
            ip("netns", "delete", name)


REFUSED = "ConnectionRefusedError"


@pytest.mark.parametrize(
    ("source", "database", "queue", "api", "login"),
    [
        (HOST, REFUSED, REFUSED, "open", "open"),
        (CONTROLLER, "open", "open", "open", REFUSED),
        (COMPUTE, REFUSED, "open", "open", REFUSED),
        (INSTANCE, REFUSED, REFUSED, "open", REFUSED),
    ],
)
def test_who_may_connect_is_let_in_and_others_are_told_at_once(
    clients: str, source: str, database: str, queue: str, api: str, login: str
) -> None:
    places = [(VIP, 3306), (VIP, 5672), (VIP, 5000), (NODE, 22), (VIP, 22), (NODE, 7777)]
    words = inside(clients, sys.executable, "-c", CONNECT, source, json.dumps(places))
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [database, queue, api, login, REFUSED, REFUSED]
