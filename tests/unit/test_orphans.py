"""What a killed engine was making in the cloud is found by what it was to be, and deleted."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from openstack.connection import Connection
from openstack.identity.v3._proxy import Proxy as Keystone

from components.cloud.clients import ADMIN, DEMO, Client
from tools import orphans, stack

PROGRAM_TYPES = Path(__file__).parents[1] / "program" / "urns"


class Cloud:
    """Connections of both users; `deleted` notes what went, in order."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.users = {ADMIN: MagicMock(), DEMO: MagicMock()}
        for user in self.users.values():
            user.identity = MagicMock(spec=Keystone)

    def connect(self, client: Client) -> Connection:
        return cast("Connection", self.users[client])

    def thing(self, identifier: str, **fields: Any) -> Any:
        return SimpleNamespace(id=identifier, delete=lambda _api: self.deleted.append(identifier), **fields)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def creation(kind: str, title: str, /, **inputs: Any) -> dict[str, Any]:
    return {"type": kind, "urn": f"urn:pulumi:lab::openstack-lab::openstack:{kind}::{title}", "inputs": inputs}


def removed(cloud: Cloud, *creations: dict[str, Any], known: frozenset[str] = frozenset()) -> list[str]:
    return list(orphans.remove(creations, set(known), cloud.connect))


def test_the_latest_goes_first(cloud: Cloud) -> None:
    admin = cloud.users[ADMIN]
    admin.network.networks.return_value = [cloud.thing("n1")]
    admin.network.subnets.return_value = [
        cloud.thing("s1", cidr="172.16.0.0/16"),
        cloud.thing("s2", cidr="10.9.0.0/24"),
    ]
    network = creation("networking/network:Network", "provider", name="provider")
    subnet = creation("networking/subnet:Subnet", "provider-subnet", networkId="n1", cidr="172.16.0.0/16")
    assert removed(cloud, network, subnet) == ["provider-subnet", "provider"]
    assert cloud.deleted == ["s1", "n1"]
    admin.network.networks.assert_called_once_with(name="provider")
    admin.network.subnets.assert_called_once_with(network_id="n1")


def test_what_the_state_knows_stays(cloud: Cloud) -> None:
    """A replacement is made before the old one goes."""
    cloud.users[ADMIN].image.images.return_value = [cloud.thing("old"), cloud.thing("new")]
    image = creation("images/image:Image", "image", name="cirros-0.5.1")
    assert removed(cloud, image, known=frozenset({"old"})) == ["image"]
    assert cloud.deleted == ["new"]


def test_what_was_not_made_yet_is_no_error(cloud: Cloud) -> None:
    cloud.users[ADMIN].identity.users.return_value = iter(())
    assert removed(cloud, creation("identity/user:User", "nova-user", name="nova")) == []


def test_a_domain_is_switched_off_before_it_goes(cloud: Cloud) -> None:
    keystone = cloud.users[ADMIN].identity
    domain = cloud.thing("d1", resource_key="domain")
    keystone.domains.return_value = [domain]
    assert removed(cloud, creation("identity/project:Project", "example", name="example", isDomain=True)) == ["example"]
    assert [call[0] for call in keystone.method_calls] == ["domains", "update_domain", "delete_domain"]
    keystone.update_domain.assert_called_once_with(domain, is_enabled=False)


def test_the_tenants_things_are_looked_for_as_the_tenant(cloud: Cloud) -> None:
    """And only those of that very name."""
    tenant = cloud.users[DEMO]
    tenant.compute.keypairs.return_value = [cloud.thing("lab", name="lab"), cloud.thing("own", name="own")]
    assert removed(cloud, creation("compute/keypair:Keypair", "key", name="lab")) == ["key"]
    assert cloud.deleted == ["lab"]


def test_an_instance_is_gone_before_its_network_goes(cloud: Cloud) -> None:
    tenant = cloud.users[DEMO]
    server, own = cloud.thing("v1", key_name="demo"), cloud.thing("v2", key_name="own")
    tenant.compute.servers.return_value = [own, server]
    assert removed(cloud, creation("compute/instance:Instance", "vm1", name="vm1", keyPair="demo")) == ["vm1"]
    tenant.compute.servers.assert_called_once_with(name="^vm1$")
    tenant.compute.delete_server.assert_called_once_with(server)
    assert [call[0] for call in tenant.compute.method_calls] == ["servers", "delete_server", "wait_for_delete"]


@pytest.mark.parametrize(("inputs", "gone"), [({"portRangeMin": 22.0}, "ssh"), ({}, "any")])
def test_somebody_s_own_rule_in_the_group_stays(cloud: Cloud, inputs: dict[str, Any], gone: str) -> None:
    ports = {"ssh": 22, "web": 80, "any": None}
    rules = [cloud.thing(name, port_range_min=port) for name, port in ports.items()]
    cloud.users[DEMO].network.security_group_rules.return_value = rules
    rule = {"securityGroupId": "g", "protocol": "tcp", "direction": "ingress", **inputs}
    assert removed(cloud, creation("networking/secGroupRule:SecGroupRule", "allow", **rule)) == ["allow"]
    assert cloud.deleted == [gone]


def test_creations_alone_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion is known to the state, and what is not in the cloud is somebody else's."""
    user = {"urn": "u", "inputs": {"name": "nova"}, "type": "openstack:identity/user:User"}
    operations = [
        {"type": "creating", "resource": user},
        {"type": "deleting", "resource": user},
        {"type": "creating", "resource": user | {"type": "command:remote:Command"}},
    ]
    monkeypatch.setattr(stack, "pending", lambda _: operations)
    assert orphans.pending("lab") == [{**user, "type": "identity/user:User"}]


def test_every_kind_that_the_program_makes_is_known() -> None:
    """But for a role assignment, which may be made twice, and the providers."""
    made = {
        part.removeprefix("openstack:")
        for file in PROGRAM_TYPES.iterdir()
        for urn in file.read_text().splitlines()
        for part in [urn.split("::")[-2].split("$")[-1]]
        if part.startswith("openstack:")
    }
    assert len(made) > 10
    assert made - orphans.KINDS.keys() == {"identity/roleAssignment:RoleAssignment"}


def test_a_settled_state_is_the_same_but_for_what_was_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"version": 3, "deployment": {"resources": [{"urn": "u"}], "pending_operations": [{"type": "creating"}]}}
    given: list[str] = []
    monkeypatch.setattr(stack, "export", lambda _: json.dumps(state))
    monkeypatch.setattr(stack, "_pulumi", lambda *_, stdin: given.append(stdin))
    stack.settle("lab")
    assert json.loads(given[0]) == {"version": 3, "deployment": {"resources": [{"urn": "u"}]}}
