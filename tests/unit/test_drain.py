"""A service of a node leaves the cloud in good order, or not at all."""

import dataclasses
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from openstack.connection import Connection

from components.secrets import KeyPair
from tools import drain
from tools.verify import ssh
from tools.verify.model import UnansweredError

HOST = "openstack-node2.magedu.local"
LEAVING = drain.Leaving(
    host=HOST,
    address="172.16.0.108",
    binaries=["nova-compute"],
    units=["libvirtd.service", "nova-compute.service"],
    client={"OS_USERNAME": "admin", "OS_PASSWORD": "not-a-secret"},
    login=KeyPair(private="login", public="ssh-ed25519 login"),
    host_key=KeyPair(private="host", public="ssh-ed25519 host"),
)


class Cloud:
    """What Nova, Neutron and Placement know of the node; notes every change. `instances`: one answer a question."""

    def __init__(self, *instances: list[str]) -> None:
        self.changes: list[str] = []
        self._instances = iter(instances)
        self.compute = self.network = self.placement = self

    def servers(self, *, all_projects: bool, compute_host: str) -> Iterator[Any]:
        assert (all_projects, compute_host) == (True, HOST)
        return (SimpleNamespace(name=name, id=f"id-of-{name}", project_id="p1") for name in next(self._instances))

    def services(self, *, host: str) -> list[Any]:
        assert host == HOST
        return [
            SimpleNamespace(name=name, binary=name) for name in ("nova-conductor", "nova-scheduler", "nova-compute")
        ]

    def agents(self, *, host: str) -> list[Any]:
        assert host == HOST
        agents = ("neutron-linuxbridge-agent", "neutron-dhcp-agent")
        return [SimpleNamespace(name=name, binary=name) for name in agents]

    def resource_providers(self, *, name: str) -> list[Any]:
        return [SimpleNamespace(name=name)]

    def __getattr__(self, name: str) -> Any:
        """disable_service and so on: note it."""
        return lambda thing: self.changes.append(f"{name} {thing.name}")

    def stop(self, leaving: drain.Leaving) -> None:
        self.changes.append(f"stop {' '.join(leaving.units)}")


def drained(cloud: Cloud, leaving: drain.Leaving = LEAVING) -> list[str]:
    drain.drain(leaving, cast("Connection", cloud), cloud.stop)
    return cloud.changes


def test_a_node_without_instances_stops_and_then_is_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing new may come to it, and nothing that still runs may register it again; what else is there stays."""
    assert drained(Cloud([], [])) == [
        "disable_service nova-compute",
        "stop libvirtd.service nova-compute.service",
        "delete_service nova-compute",
        f"delete_resource_provider {HOST}",
    ]
    assert capsys.readouterr().out.splitlines() == [
        f"removed nova-compute on {HOST}",
        f"removed the resource provider of {HOST}",
    ]


@pytest.mark.parametrize(
    ("binaries", "forgotten"),
    [
        (["nova-conductor", "nova-scheduler"], ["delete_service nova-conductor", "delete_service nova-scheduler"]),
        (["neutron-dhcp-agent"], ["delete_agent neutron-dhcp-agent"]),
    ],
)
def test_what_holds_no_instances_leaves_whatever_the_node_holds(binaries: list[str], forgotten: list[str]) -> None:
    """Of a controller: nobody is asked about instances, and nothing of the node's other services is touched."""
    leaving = dataclasses.replace(LEAVING, binaries=binaries, units=["one.service"])
    assert drained(Cloud(), leaving) == ["stop one.service", *forgotten]


def test_a_node_with_instances_is_left_as_it_is() -> None:
    """The error names each, and whose it is."""
    cloud = Cloud(["vm1", "vm2"])
    with pytest.raises(drain.OccupiedError) as error:
        drained(cloud)
    assert str(error.value) == (
        f"{HOST} still holds instances: vm1 (id-of-vm1, project p1), vm2 (id-of-vm2, project p1); "
        "delete or move them, then run it again"
    )
    assert cloud.changes == []


def test_a_node_that_gets_an_instance_at_the_last_moment_takes_instances_again() -> None:
    """Between the first question and the end of scheduling to it."""
    cloud = Cloud([], ["late"])
    with pytest.raises(drain.OccupiedError, match="late"):
        drained(cloud)
    assert cloud.changes == ["disable_service nova-compute", "enable_service nova-compute"]


def test_a_machine_that_does_not_answer_has_nothing_to_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be gone or broken, which is why its operator takes it out."""
    asked = []

    def silent(address: str, script: str, **_: Any) -> str:
        asked.append((address, script))
        raise UnansweredError(f"SSH to {address}: timed out")

    monkeypatch.setattr(ssh, "run", silent)
    drain.stop_units(LEAVING)
    assert asked == [("172.16.0.108", "systemctl disable --now libvirtd.service nova-compute.service")]
    assert capsys.readouterr().out == "not stopped: SSH to 172.16.0.108: timed out\n"


def test_what_the_program_hands_over_is_read_back() -> None:
    """On standard input, keys and password included."""
    assert drain.read(json.dumps(dataclasses.asdict(LEAVING))) == LEAVING
