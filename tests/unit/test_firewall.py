"""What each node takes in, and from whom, by the catalogue."""

from ipaddress import IPv4Address

import pytest

from components.services import firewall
from components.services.firewall import Opening
from components.topology import Node
from tests import stacks

SITE = stacks.load("lab").site
NODES = {node.name: node for node in SITE.topology.nodes}
INSTANCE = IPv4Address("172.16.100.10")
HOST, HOST_INSIDE = IPv4Address("172.16.0.1"), IPv4Address("10.0.0.1")


def ways_in(node: str, source: IPv4Address) -> set[tuple[str, str]]:
    """Names and ports of what a node takes in from an address."""
    return {(each.of, each.ports) for each in firewall.openings(SITE, NODES[node]) if admits(each, source)}


def admits(opening: Opening, source: IPv4Address) -> bool:
    """Whether it lets an address in."""
    return opening.sources is None or source in opening.sources


@pytest.mark.parametrize(
    ("node", "takes_in"),
    [
        (
            "haproxy1",
            {
                *(("keystone-api", "5000"), ("glance-api", "9292"), ("placement-api", "8778"), ("neutron-api", "9696")),
                *(("nova-controller-node-api", "8774"), ("nova-novncproxy", "6080"), ("openstack", "80")),
            },
        ),
        ("controller1", set()),
        ("mysql-master", set()),
        ("node1", set()),
    ],
)
def test_instances_reach_the_apis_through_the_virtual_address_and_nothing_else(
    node: str, takes_in: set[tuple[str, str]]
) -> None:
    assert ways_in(node, INSTANCE) == takes_in
    assert {each.to for each in firewall.openings(SITE, NODES[node]) if admits(each, INSTANCE)} <= {SITE.topology.vip}


@pytest.mark.parametrize(
    ("user", "uses"),
    [
        (
            "controller1",
            {("mysql", "3306"), ("rabbitmq", "5672"), ("memcached", "11211"), ("nova-metadata", "8775")},
        ),
        ("node1", {("rabbitmq", "5672")}),
        ("mysql-master", set()),
    ],
)
def test_what_is_behind_the_apis_is_for_those_who_use_it(user: str, uses: set[tuple[str, str]]) -> None:
    assert ways_in("haproxy1", NODES[user].address) - ways_in("haproxy1", INSTANCE) == uses


def test_the_database_node_takes_in_load_balancers_and_the_host_alone() -> None:
    opening = {each.of: each.sources for each in firewall.openings(SITE, NODES["mysql-master"])}
    balancer = (NODES["haproxy1"].address,)
    assert opening == {"ssh": (HOST_INSIDE,), "mysql": balancer, "rabbitmq": balancer, "memcached": balancer}


@pytest.mark.parametrize("node", NODES.values(), ids=str)
def test_the_host_logs_in_from_either_network(node: Node) -> None:
    logins = [each for each in firewall.openings(SITE, node) if each.of == "ssh"]
    assert [(each.to, each.sources) for each in logins] == [
        (node.address, (HOST,)),
        (node.internal_address, (HOST_INSIDE,)),
    ]


def test_consoles_of_instances_are_for_controllers() -> None:
    assert ("nova-compute", "5900-6899") in ways_in("node1", NODES["controller1"].address)
    assert ("nova-compute", "5900-6899") not in ways_in("node1", NODES["node2"].address)


def test_time_is_given_by_the_controller_to_all_nodes() -> None:
    for node in NODES.values():
        assert ("time", "123") in ways_in("controller1", node.address)
        assert ("time", "123") not in ways_in("node1", node.address)


def test_a_rule_says_whom_it_lets_in() -> None:
    (rules,) = (file.text for file in SITE.files_on(NODES["haproxy1"]) if file.path == "/etc/nftables.conf")
    users = "172.16.0.101, 172.16.0.107, 172.16.0.108"
    assert f'    ip daddr 172.16.0.248 ip saddr {{ {users} }} tcp dport 5672 accept comment "rabbitmq"\n' in rules
    assert '    ip daddr 172.16.0.248 tcp dport 5000 accept comment "keystone-api"\n' in rules
    assert '    ip saddr { 172.16.0.105 } meta l4proto vrrp accept comment "keepalived"\n' in rules


@pytest.mark.parametrize("node", NODES)
def test_firewalld_is_told_the_same_as_nftables_source_by_source(node: str) -> None:
    site = stacks.load("lab", release="train-centos7").site
    (text,) = (file.text for file in site.files_on(NODES[node]) if file.path == "/etc/openstack-lab/firewall")
    rules = [line for line in text.splitlines() if not line.startswith("#")]
    openings = list(firewall.openings(site, NODES[node]))
    assert len(rules) == sum(len(each.sources) if each.sources is not None else 1 for each in openings)
    assert len(rules) == len(set(rules))
    if node == "haproxy1":
        to = 'destination address="172.16.0.248"'
        assert f'rule family="ipv4" {to} port port="5000" protocol="tcp" accept' in rules
        assert f'rule family="ipv4" source address="172.16.0.107" {to} port port="5672" protocol="tcp" accept' in rules
        assert 'rule family="ipv4" source address="172.16.0.105" protocol value="vrrp" accept' in rules


def test_nobody_asks_a_node_for_the_time_where_all_ask_the_servers_themselves() -> None:
    site = stacks.load("lab", release="train-centos7").site
    assert not [each for node in NODES.values() for each in firewall.openings(site, node) if each.of == "time"]
