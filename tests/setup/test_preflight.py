"""Preflight: everything that stands in a stack's way is said at once, each with a remedy."""

from ipaddress import IPv4Interface
from typing import Any

import pytest

from components.topology import Node
from tests import stacks
from tools import made, preflight, stack
from tools.preflight import Finding, Surroundings, examine
from tools.steps import StepError

ROOM = Surroundings(memory=24_000, disk=100, commands=frozenset(preflight.COMMANDS))
"""A machine on which nothing is in the way."""


def surroundings(**changes: Any) -> Surroundings:
    """That machine with something changed."""
    return Surroundings(**{**{key: getattr(ROOM, key) for key in ROOM.__dataclass_fields__}, **changes})


def found(**changes: Any) -> list[Finding]:
    """Findings about the committed stack `lab` on a changed machine."""
    return examine("lab", stacks.values("lab"), surroundings(**changes))


def test_nothing_is_found_where_nothing_is_in_the_way() -> None:
    for name in stacks.STACKS:
        assert examine(name, stacks.values(name), ROOM) == []


def test_everything_is_found_at_once_with_value_and_remedy() -> None:
    findings = found(
        memory=4000,
        disk=10,
        commands=frozenset({"qemu-img", "mkisofs"}),
        tun=False,
        interfaces={"eth0": (IPv4Interface("10.0.0.7/24"),), "vmbr0": ()},
        domains={"openstack-node1": False},
        networks={"lan": "vmbr1"},
    )
    assert [finding.key for finding in findings] == [
        "xsltproc",
        "dnsmasq",
        "/dev/net/tun",
        "nodes.node1",
        "vmbr0",
        "vmbr1",
        "memory",
        "disk",
        "internalNetwork",
    ]
    text = "\n".join(map(str, findings))
    for part in (
        "apt-get install xsltproc",
        "apt-get install dnsmasq-base",
        "virsh undefine openstack-node1",
        "ip link delete vmbr0",
        "virsh net-undefine lan",
        "4000 MiB available, 11136 MiB wanted by controller1, mysql-master, haproxy1, node1, node2",
        "10 GiB free where the storage pool lies, about 20 GiB wanted",
        "10.0.0.0/24 of vmbr1 overlaps 10.0.0.7/24 of this machine's eth0",
    ):
        assert part in text
    assert all(finding.remedy for finding in findings)


def test_what_the_stack_has_made_before_is_not_in_its_own_way() -> None:
    names = [preflight.machine(node) for node in ("controller1", "mysql-master", "haproxy1", "node1", "node2")]
    findings = found(
        memory=0,
        disk=0,
        interfaces={"vmbr0": (IPv4Interface("172.16.0.1/16"),), "vmbr1": (IPv4Interface("10.0.0.1/24"),)},
        networks={"vmbr0": "vmbr0", "vmbr1": "vmbr1"},
        domains=dict.fromkeys(names, True),
        owners=dict.fromkeys([*names, "vmbr0", "vmbr1"], "lab"),
    )
    assert findings == []


def test_a_machine_that_was_made_and_is_shut_off_wants_its_memory_again() -> None:
    finding = found(memory=100, domains={"openstack-node1": False}, owners={"openstack-node1": "lab"})
    assert [each.key for each in finding] == ["memory"]


def test_another_stack_of_the_checkout_is_named_with_the_way_to_remove_it() -> None:
    findings = found(
        networks={"vmbr0": "vmbr0"},
        interfaces={"vmbr0": (IPv4Interface("172.16.0.1/16"),)},
        domains={"openstack-node1": True},
        owners={"vmbr0": "compact", "openstack-node1": "compact"},
    )
    assert [finding.key for finding in findings] == ["nodes.node1", "vmbr0"]
    assert all("make destroy STACK=compact" in finding.remedy for finding in findings)


def test_nodes_that_are_switched_off_want_nothing() -> None:
    values = stacks.values("lab")
    for node in values["nodes"].values():
        node["enabled"] = False
    assert examine("lab", values, surroundings(memory=0, disk=0)) == []


def test_a_configuration_without_sense_is_left_to_its_own_check() -> None:
    values = stacks.values("lab") | {"nodes": ["x"], "providerNetwork": "nonsense"}
    assert examine("lab", values, ROOM) == []


def test_the_name_of_a_machine_is_that_of_the_program() -> None:
    node = stacks.load("lab").site.topology.nodes[0]
    assert isinstance(node, Node)
    assert preflight.machine(node.name) == node.machine


BASE = "zed-debian12-0123456789ab.qcow2"


def disks(gib: int = 20) -> dict[str, made.Resource]:
    """The disks of stack `lab` as the state has them."""
    outputs = {"size": gib * 1024**3, "baseVolumeId": f"/pool/template-{BASE}"}
    return {f"openstack-{node}.qcow2": {"outputs": outputs} for node in ("node1", "controller1")}


def test_a_disk_that_stays_is_no_finding() -> None:
    values = stacks.values("lab")
    assert list(preflight.emptied(values, disks(), BASE)) == []
    assert list(preflight.emptied(values, {}, BASE)) == []


def test_a_disk_that_would_be_replaced_by_an_empty_one_is_found() -> None:
    """The engine would do so without a question."""
    values = stacks.values("lab")
    values["nodes"]["node1"]["disk"] = 30
    [found] = preflight.emptied(values, disks(), BASE)
    assert str(found) == (
        "nodes.node1.disk: 30 GiB, and its disk has 20: an update would replace it by an empty one; set it to 20; or, "
        "where nothing on it matters, `pulumi up` in `make shell`"
    )
    values["nodes"]["node1"]["enabled"] = False
    assert list(preflight.emptied(values, disks(), BASE)) == []


def test_another_template_than_that_of_the_machines_is_found() -> None:
    [found] = preflight.emptied(stacks.values("lab"), disks(), "another.qcow2")
    assert str(found).startswith(
        f"template: the disks of controller1, node1 are clones of {BASE}, and set-up has another.qcow2 now: an update "
        "would replace them by empty ones; check out the version"
    )


def test_a_slip_in_the_configuration_is_told_without_any_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    values = stacks.values("lab") | {"vip": "172.16.0.101", "release": "nonsense"}
    del values["masterSecret"]
    monkeypatch.setattr(stack, "configuration", lambda _: values)
    with pytest.raises(StepError) as raised:
        preflight.check_configuration("lab")
    assert "2 findings before anything is made" in str(raised.value)
    for part in ("openstack-lab:vip: '172.16.0.101'", "openstack-lab:release: 'nonsense'"):
        assert part in str(raised.value)
    values |= {"vip": "172.16.0.248", "release": "zed-debian12"}
    preflight.check_configuration("lab")


def test_images_of_the_user_s_own_make_sense_before_set_up_has_fetched_them(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        f"{key}{suffix}": value for key in ("template", "image") for suffix, value in (("", "/a"), ("Sha256", "0" * 64))
    }
    monkeypatch.setattr(stack, "configuration", lambda _: stacks.values("lab") | own)
    preflight.check_configuration("lab")
