"""`make status` against a libvirt that is always there (its test driver) and ports on loopback."""

import contextlib
import dataclasses
import json
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from components.config import Config
from components.services import firewall, haproxy
from components.services.model import EVERY_ROLE, Endpoint, Listener, Service
from components.topology import Role
from tests import stacks
from tests.verify import servers
from tests.verify.servers import Answer
from tools import stack_values, status

LIBVIRT = "test:///default"
VIP = "127.0.0.248"
STATISTICS = """\
# pxname,svname,status,check_status,lastchg,
keystone-api-5000,127.0.0.101,UP,L4OK,600,
glance-api-9292,127.0.0.101,UP 1/2,L4OK,600,
glance-api-9292,127.0.0.107,DOWN,L4CON,42,
"""


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """Two machines on loopback: one with SSH and an API that listens, one where nothing does."""
    config = stacks.on_loopback()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.101", 0)))
        api = stack.enter_context(servers.web(VIP))
        api.answers["GET /v3/"] = Answer(200, "version")
        api.answers["GET /haproxy;csv"] = Answer(200, STATISTICS)
        api_port = int(api.url.rpartition(":")[2])
        monkeypatch.setattr(firewall, "SSH_PORT", int(listener.getsockname()[1]))
        monkeypatch.setattr(haproxy, "STATS_PORT", api_port)
        monkeypatch.setattr(socket, "getaddrinfo", _resolving({config.site.vip_name: VIP}))
        catalogue = (
            Service(
                name="keystone",
                roles=(Role.CONTROLLER,),
                listeners=(Listener(name="keystone-api", port=5000),),
                endpoint=Endpoint(type="identity", description="", port=api_port, path="/v3/"),
            ),
            Service(
                name="glance",
                roles=EVERY_ROLE,
                listeners=(Listener(name="glance-api", port=9292),),
                endpoint=Endpoint(type="image", description="", port=servers.closed()),
            ),
        )
        site = dataclasses.replace(config.site, catalogue=catalogue)
        yield dataclasses.replace(config, site=site, hypervisor=dataclasses.replace(config.hypervisor, uri=LIBVIRT))


def _resolving(names: dict[str, str]) -> Any:
    """`getaddrinfo` that knows some more names."""
    resolve = socket.getaddrinfo
    return lambda host, *rest, **more: resolve(names.get(host, host), *rest, **more)


def test_libvirt_tells_the_state_of_its_machines() -> None:
    assert status.machine_states(LIBVIRT) == {"test": "running"}


def test_a_glance_at_the_lab_tells_what_answers_and_what_does_not(lab: Config) -> None:
    seen = status.look(lab)
    assert (seen.vip, seen.vip_answers) == (VIP, True)
    assert [(node.name, node.state, node.ssh, node.address) for node in seen.nodes] == [
        ("controller1", "missing", True, "127.0.0.101"),
        ("node1", "missing", False, "127.0.0.107"),
    ]
    assert [(listener.service, listener.nodes) for listener in seen.listeners] == [
        ("keystone", {"controller1": True}),
        ("glance", {"controller1": True, "node1": False}),
    ]
    keystone, glance = seen.endpoints
    assert (keystone.ok, keystone.answer) == (True, "HTTP 200")
    assert not glance.ok
    assert "Connection refused" in glance.answer


def test_without_haproxy_nobody_knows_of_the_services(lab: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "STATS_PORT", servers.closed())
    seen = status.look(lab)
    assert not seen.vip_answers
    assert [listener.nodes for listener in seen.listeners] == [
        {"controller1": None},
        {"controller1": None, "node1": None},
    ]


def test_status_prints_tables(lab: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stack_values, "complete", {"compact": lab}.__getitem__)
    assert status.main(["--stack", "compact"]) == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"│ controller1 +│ missing +│ yes +│ 127.0.0.101 +│ controller, database, loadbalancer +│ 2 ", printed
    )
    assert re.search(r"│ glance +│ \d+ +│ controller1, node1 \(down\) +│", printed)
    assert re.search(r"│ keystone +│ HTTP 200 +│ http://openstack-vip.magedu.local:\d+/v3/", printed)


def test_status_prints_json(lab: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stack_values, "complete", {"lab": lab}.__getitem__)
    assert status.main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["vip"] == VIP
    assert printed["nodes"][1] == {
        "name": "node1",
        "state": "missing",
        "ssh": False,
        "address": str(IPv4Address("127.0.0.107")),
        "roles": ["compute"],
        "vcpus": 2,
        "memory": 2048,
    }
