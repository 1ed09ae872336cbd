"""An instance goes with the disk of its compute node, and is made anew with it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from openstack.connection import Connection

from components.cloud.clients import ADMIN, Client
from components.config import Config
from tests import stacks
from tools import cli, made, stack, stack_values, stranded
from tools.hypervisor import Hypervisor
from tools.verify import cloud
from tools.verify.model import UnansweredError

HOST = Hypervisor("test:///default", "pool", "qemu", None)
URN = "urn:pulumi:lab::openstack-lab::lab:cloud:Instance$openstack:compute/instance:Instance::"


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Identifiers of what was deleted of a Nova with two hosts. The stack has made one instance, and begun another."""
    gone: list[str] = []
    found = {"openstack-node1.magedu.local": ["somebody-s", "own"], "openstack-node2.magedu.local": ["others"]}

    def servers(*, all_projects: bool, compute_host: str) -> list[SimpleNamespace]:
        assert all_projects
        return [SimpleNamespace(id=identifier) for identifier in found[compute_host]]

    def connect(client: Client, _config: Config) -> Connection:
        assert client == ADMIN
        return cast("Connection", SimpleNamespace(compute=SimpleNamespace(servers=servers, delete_server=gone.append)))

    resources = [
        {"type": "openstack:compute/flavor:Flavor", "urn": "urn::flavor", "id": "somebody-s"},
        {"type": made.INSTANCE, "urn": f"{URN}vm1", "id": "own"},
        {"type": made.INSTANCE, "urn": f"{URN}vm2"},
    ]
    monkeypatch.setattr(stack, "resources", lambda _: resources)
    monkeypatch.setattr(stack_values, "complete", stacks.load)
    monkeypatch.setattr(cloud, "connect_as", connect)
    return gone


@pytest.mark.parametrize(
    ("nodes", "gone", "told"),
    [(["node1"], ["own"], [f"{URN}vm1"]), (["node2"], [], []), (["node2", "node1"], ["own"], [f"{URN}vm1"])],
)
def test_the_stack_s_own_instances_on_a_node_are_deleted_and_told(
    deleted: list[str], capsys: pytest.CaptureFixture[str], nodes: list[str], gone: list[str], told: list[str]
) -> None:
    """Others' are theirs."""
    assert stranded.main(["--stack", "lab", *nodes]) == 0
    assert deleted == gone
    assert json.loads(capsys.readouterr().out) == told


def test_a_nova_that_does_not_answer_is_told(
    deleted: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(*_: object) -> Connection:
        raise UnansweredError("no token: connection refused")

    monkeypatch.setattr(cloud, "connect_as", silent)
    assert stranded.main(["--stack", "lab", "node1"]) == 1
    assert deleted == []
    assert capsys.readouterr() == ("", "    no token: connection refused\n")


@pytest.mark.parametrize(
    ("status", "said", "urns", "told"),
    [
        (0, json.dumps([f"{URN}vm1"]), [f"{URN}vm1"], "instances: vm1 ("),
        (0, "[]", [], "instances: none ("),
        (1, "", [], "instances: the cloud does not answer: delete them once it does, then make repair ("),
    ],
)
def test_an_update_makes_them_anew_with_their_node(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    said: str,
    urns: list[str],
    told: str,
) -> None:
    """Where nobody can say which, the update goes on, since it may be what brings the cloud back."""

    def run(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command == [sys.executable, "-m", "tools", "--stack", "lab", "stranded", "node1", "node2"]
        return subprocess.CompletedProcess(command, status, said)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(Hypervisor, "command", lambda _, words: words)
    assert cli._stranded(HOST, "lab", ["node1", "node2"]) == urns
    out = capsys.readouterr().out
    assert "==> instances: whose disks were on node1, node2\n" in out
    assert told in out
