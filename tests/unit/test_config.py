"""Bad input is told all at once, each finding with its key, its value and what is allowed."""

import json
from typing import Any

import pytest

from components import config
from components.topology import Role
from tests import stacks


def findings(stack: str = "compact", **changes: Any) -> list[str]:
    """What `load` says against the stack with some keys changed."""
    with pytest.raises(config.ConfigError) as error:
        stacks.load(stack, **changes)
    return error.value.findings


def with_node(name: str, **changes: Any) -> dict[str, Any]:
    """The compact stack's nodes, one of them changed."""
    nodes: dict[str, Any] = stacks.values("compact")["nodes"]
    nodes[name] = nodes.get(name, {}) | changes
    return nodes


def test_the_lab_is_the_guides_five_machines() -> None:
    """Names and addresses of chapter 4's table, the optional machines switched off."""
    topology = stacks.load("lab").site.topology
    assert {node.fqdn: str(node.address) for node in topology.nodes} == {
        "openstack-controller1.magedu.local": "172.16.0.101",
        "openstack-mysql-master.magedu.local": "172.16.0.103",
        "openstack-haproxy1.magedu.local": "172.16.0.105",
        "openstack-node1.magedu.local": "172.16.0.107",
        "openstack-node2.magedu.local": "172.16.0.108",
    }
    assert [str(node.internal_address) for node in topology.nodes][:2] == ["10.0.0.101", "10.0.0.103"]
    assert str(topology.vip) == "172.16.0.248"


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_the_machines_fit_into_twelve_gibibytes(stack: str) -> None:
    """The bound that the stacks' sizes are scaled to."""
    assert sum(node.memory for node in stacks.load(stack).site.topology.nodes) <= 12 * 1024


def test_optional_machines_are_present_and_can_be_switched_on() -> None:
    """All nine of the guide's machines, when none is switched off."""
    nodes = stacks.values("lab")["nodes"]
    for entry in nodes.values():
        entry.pop("enabled", None)
    topology = stacks.load("lab", nodes=nodes).site.topology
    assert [int(str(node.address).rpartition(".")[2]) for node in topology.nodes] == list(range(101, 110))
    assert [node.name for node in topology.having(Role.LOADBALANCER)] == ["haproxy1", "haproxy2"]


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (
            {"release": "yoga"},
            "openstack-lab:release: 'yoga' is not allowed; allowed: zed-debian12, train-centos7, epoxy-debian13",
        ),
        (
            {"archive": "vault.example/7/"},
            "openstack-lab:archive: 'vault.example/7/' is not allowed;"
            " allowed: a base URL, http://… or https://…, without a slash at its end",
        ),
        (
            {"dns": ["8.8.8"]},
            "openstack-lab:dns: ['8.8.8'] is not allowed; allowed: a list of IPv4 addresses",
        ),
        (
            {"dns": ["9.9.9.9", "dns.example"]},
            "openstack-lab:dns: ['9.9.9.9', 'dns.example'] is not allowed; allowed: a list of IPv4 addresses",
        ),
        (
            {"ntp": ["time.example", ""]},
            "openstack-lab:ntp: ['time.example', ''] is not allowed; allowed: a list of names or addresses",
        ),
        (
            {"nodes": with_node("node1", roles=["compute", "storage"])},
            "openstack-lab:nodes.node1.roles: 'storage' is not allowed;"
            " allowed: controller, database, loadbalancer, compute",
        ),
        (
            {"nodes": with_node("node1", address="172.17.0.107")},
            "openstack-lab:nodes.node1.address: '172.17.0.107' is not allowed; allowed: an address of 172.16.0.0/16"
            " other than 172.16.0.1 (the host), 172.16.0.0, and 172.16.255.255",
        ),
        (
            {"nodes": with_node("node1", address="172.16.0.1")},
            "openstack-lab:nodes.node1.address: '172.16.0.1' is not allowed; allowed: an address of 172.16.0.0/16"
            " other than 172.16.0.1 (the host), 172.16.0.0, and 172.16.255.255",
        ),
        (
            {"nodes": with_node("node1", address="172.16.9.7")},
            "openstack-lab:nodes.node1.address: '172.16.9.7' is not allowed;"
            " allowed: one whose host part also fits into 10.0.0.0/24",
        ),
        (
            {"vip": "172.16.0.107"},
            "openstack-lab:vip: '172.16.0.107' is not allowed; allowed: an address that no node has (it is node1's)",
        ),
        (
            {"vip": "10.0.0.9"},
            "openstack-lab:vip: '10.0.0.9' is not allowed;"
            " allowed: an address of 172.16.0.0/16 other than the host's 172.16.0.1",
        ),
        (
            {"nodes": with_node("controller1", roles=["database", "loadbalancer"])},
            "openstack-lab:nodes: ['controller1', 'node1'] is not allowed;"
            " allowed: at least one enabled controller node",
        ),
        (
            {"nodes": with_node("node1", memory=512)},
            "openstack-lab:nodes.node1.memory: 512 is not allowed; allowed: a number of 1024 or more MiB for compute",
        ),
        (
            {"nodes": with_node("Node_9", roles=["compute"], address="172.16.0.9", vcpus=1, memory=1024, disk=10)},
            "openstack-lab:nodes.Node_9: 'Node_9' is not allowed;"
            " allowed: a host name of small letters, digits and dashes",
        ),
        (
            {"nodes": with_node("node1", ram=4096)},
            "openstack-lab:nodes.node1.ram: 4096 is not allowed;"
            " allowed: the keys address, disk, enabled, memory, roles, vcpus",
        ),
        (
            {"options": {"glance": {"glance.conf": {}}}},
            "openstack-lab:options.glance: 'glance.conf' is not allowed; allowed: the files glance-api.conf",
        ),
        (
            {"options": {"neutron-linuxbridge": {}}, "release": "epoxy-debian13"},
            "openstack-lab:options: 'neutron-linuxbridge' is not allowed; allowed: the services time, network,"
            " firewall, mariadb, rabbitmq, memcached, haproxy, keepalived, keystone, glance, placement, nova, neutron,"
            " openvswitch, neutron-openvswitch, neutron-dhcp, neutron-metadata, nova-compute, horizon",
        ),
        (
            {"options": {"haproxy": {"haproxy.cfg": {"defaults": {"retries": 5}}}}},
            "openstack-lab:options.haproxy: 'haproxy.cfg' is not allowed; allowed: the files (none)",
        ),
        (
            {"options": {"placement": {"placement-api.sh": {}}}},
            "openstack-lab:options.placement: 'placement-api.sh' is not allowed; allowed: the files placement.conf",
        ),
        (
            {"passwordOverrides": {"glance_database_password": "it's"}},
            "openstack-lab:passwordOverrides.glance_database_password: '***' is not allowed;"
            " allowed: 4 to 64 letters, digits and . _ ~ -",
        ),
        (
            {"passwordOverrides": {"glance_databse_password": "long-enough"}},
            "openstack-lab:passwordOverrides: 'glance_databse_password' is not allowed; allowed: the names"
            " admin_identity_password, glance_database_password, glance_identity_password, haproxy_stats_password,"
            " keystone_database_password, myuser_identity_password, neutron_database_password,"
            " neutron_identity_password, neutron_metadata_secret, nova_database_password, nova_identity_password,"
            " openstack_rabbitmq_password, placement_database_password, placement_identity_password,"
            " root_database_password",
        ),
        (
            {"nodes": with_node("node1", enabled="false")},
            "openstack-lab:nodes.node1.enabled: 'false' is not allowed; allowed: true or false",
        ),
        (
            {"nodes": with_node("node1", enabled=0)},
            "openstack-lab:nodes.node1.enabled: 0 is not allowed; allowed: true or false",
        ),
        (
            {"nodes": with_node("vip", roles=["compute"], address="172.16.0.9", vcpus=1, memory=1024, disk=10)},
            "openstack-lab:nodes.vip: 'vip' is not allowed;"
            " allowed: another name; openstack-vip is the virtual address's",
        ),
        (
            {"domain": f"{'d' * 49}.local"},
            f"openstack-lab:nodes.node1: 'openstack-node1.{'d' * 49}.local' is not allowed;"
            " allowed: a name that makes 64 characters at most with its domain",
        ),
        (
            {"masterSecret": "short"},
            "openstack-lab:masterSecret: '***' is not allowed; allowed: 32 characters or more; `make setup` makes one",
        ),
        (
            {"internalNetwork": "172.16.1.0/24"},
            "openstack-lab:internalNetwork: '172.16.1.0/24' is not allowed;"
            " allowed: a network apart from 172.16.0.0/16",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_what_is_allowed(changes: dict[str, Any], finding: str) -> None:
    """One sentence a finding."""
    assert finding in findings(**changes)


POOL = "FIRST-LAST, two addresses of 172.16.0.0/16 with none of the host, the virtual address or a node between"


@pytest.mark.parametrize(
    ("pool", "because"),
    [
        ("172.16.0.107-172.16.0.120", " (172.16.0.107 is node1)"),
        ("172.16.0.90-172.16.0.101", " (172.16.0.101 is controller1)"),
        ("172.16.0.200-172.16.0.250", " (172.16.0.248 is the virtual address)"),
        ("172.16.0.1-172.16.0.9", " (172.16.0.1 is the host)"),
        ("172.16.0.0-172.16.0.0", " (172.16.0.0 is the network's own address)"),
        ("172.16.100.10-172.16.255.255", " (172.16.255.255 is its broadcast address)"),
        ("10.1.0.10-10.1.0.90", ""),
        ("172.15.0.10-172.15.0.90", ""),
        ("172.16.100.200-172.16.100.10", ""),
        ("172.16.100.10", ""),
        ("172.16.100.10-", ""),
        ("172.16.100.10-172.16.100.300", ""),
        ("172.16.100.10-172.16.100.20-172.16.100.30", ""),
        ("172.16.100.0/24", ""),
        ("", ""),
    ],
)
def test_a_pool_that_would_collide_or_is_none_is_refused(pool: str, because: str) -> None:
    """An instance must never get an address that a machine of the lab has."""
    assert findings(allocationPool=pool) == [
        f"openstack-lab:allocationPool: {pool!r} is not allowed; allowed: {POOL}{because}"
    ]


def test_a_pool_that_reaches_past_the_network_is_refused() -> None:
    """Its first half being right does not help."""
    pool = "172.16.255.200-172.17.0.10"
    assert findings(allocationPool=pool) == [
        f"openstack-lab:allocationPool: {pool!r} is not allowed; allowed: {POOL}",
        f"openstack-lab:allocationPool: {pool!r} is not allowed;"
        f" allowed: {POOL} (172.16.255.255 is its broadcast address)",
    ]


def test_a_machine_that_is_switched_off_holds_no_address() -> None:
    """Its address is free until it is switched on; then the pool is refused."""
    nodes = stacks.values("lab")["nodes"]
    pool = "172.16.0.109-172.16.0.120"
    assert str(stacks.load("lab", allocationPool=pool).tenant.pool[0]) == "172.16.0.109"
    nodes["node3"]["enabled"] = True
    assert findings("lab", allocationPool=pool, nodes=nodes) == [
        f"openstack-lab:allocationPool: {pool!r} is not allowed; allowed: {POOL} (172.16.0.109 is node3)"
    ]


def test_a_physical_network_that_no_agent_knows_is_refused() -> None:
    """The agents map one name to the provider network."""
    assert findings(physicalNetwork="physnet1") == [
        "openstack-lab:physicalNetwork: 'physnet1' is not allowed; allowed: provider; the agents map no other network"
    ]


NANO = {"name": "m1.nano", "vcpus": 1, "memory": 192, "disk": 1}


@pytest.mark.parametrize(
    ("flavor", "finding"),
    [
        (
            NANO | {"vcpus": 3},
            "flavor.vcpus: 3 is not allowed; allowed: 2 or less, what the largest compute node can give",
        ),
        (
            NANO | {"memory": 1537},
            "flavor.memory: 1537 is not allowed; allowed: 1536 or less, what the largest compute node can give",
        ),
        (
            NANO | {"disk": 20},
            "flavor.disk: 20 is not allowed; allowed: 19 or less, what the largest compute node can give",
        ),
        (NANO | {"ram": 512}, "flavor.ram: 512 is not allowed; allowed: the keys disk, memory, name, vcpus"),
        (NANO | {"memory": 0}, "flavor.memory: 0 is not allowed; allowed: a number of 64 or more MiB"),
        (NANO | {"memory": "192"}, "flavor.memory: '192' is not allowed; allowed: a number of 64 or more MiB"),
        (NANO | {"vcpus": True}, "flavor.vcpus: True is not allowed; allowed: a number of 1 or more"),
        (NANO | {"disk": 0}, "flavor.disk: 0 is not allowed; allowed: a number of 1 or more GiB"),
        (NANO | {"name": "a b"}, "flavor.name: 'a b' is not allowed; allowed: letters, digits, dots and dashes"),
        (
            {key: NANO[key] for key in ("vcpus", "memory", "disk")},
            "flavor.name: None is not allowed; allowed: letters, digits, dots and dashes",
        ),
    ],
)
def test_a_flavor_that_no_node_can_hold_or_that_is_none_is_refused(flavor: dict[str, Any], finding: str) -> None:
    """It would be accepted by Nova, and no instance of it would ever find a host."""
    assert findings(flavor=flavor) == [f"openstack-lab:{finding}"]


def test_a_flavor_as_large_as_the_largest_compute_node_is_taken() -> None:
    """Controllers may be larger; they hold no instances."""
    nodes = with_node("node1", memory=4096, vcpus=4, disk=40)
    assert stacks.load("compact", nodes=nodes, flavor=NANO | {"memory": 3584, "vcpus": 4, "disk": 39}).tenant.instance


def test_an_instance_needs_a_compute_node() -> None:
    """Without one there is a cloud without instances, if that is what is wanted."""
    nodes = with_node("node1", enabled=False)
    assert findings(nodes=nodes) == [
        "openstack-lab:instance: True is not allowed; allowed: false without an enabled compute node"
    ]
    assert not stacks.load("compact", nodes=nodes, instance=False).tenant.instance


def test_an_instance_is_asked_for_by_a_truth_value() -> None:
    """As the engine hands it over; a word is none."""
    assert findings(instance="yes") == ["openstack-lab:instance: 'yes' is not allowed; allowed: true or false"]


def test_two_nodes_with_one_address_are_both_named() -> None:
    """Which of the two is wrong is the operator's to know."""
    found = findings(nodes=with_node("node1", address="172.16.0.101"))
    assert [finding.split(":")[1] for finding in found] == ["nodes.controller1.address", "nodes.node1.address"]


def test_the_first_node_of_a_role_is_the_one_with_the_lowest_address() -> None:
    """The engine hands mappings over in the order of their keys, so the order in the file cannot count."""
    nodes = dict(reversed(stacks.values("lab")["nodes"].items()))
    assert stacks.load("lab", nodes=nodes).site.topology == stacks.load("lab").site.topology


def test_all_findings_come_at_once() -> None:
    """Nobody wants to mend one mistake a run."""
    assert len(findings(release="yoga", vip="10.0.0.9", passwords="none")) == 3


def test_a_missing_template_is_told_before_anything_is_made() -> None:
    """The program never hands the provider a path that is not there."""
    with pytest.raises(config.ConfigError) as error:
        config.load(stacks.values("lab"), stacks.facts() | {"template": "/nowhere/template.qcow2"})
    assert error.value.findings == [
        ".lab/host.json: template '/nowhere/template.qcow2' is missing; `make setup` brings it back"
    ]


def test_an_image_that_set_up_has_not_prepared_is_refused() -> None:
    """Set-up checks its checksum and keeps it; the program takes it from there."""
    assert findings(image="/images/other.qcow2") == [
        "openstack-lab:image: '/images/other.qcow2' is not allowed;"
        " allowed: the one that set-up prepared; run `make setup`"
    ]


def test_a_release_that_set_up_has_not_prepared_is_refused() -> None:
    """Machines cloned from another release's template would get this one's files."""
    with pytest.raises(config.ConfigError) as error:
        config.load(stacks.values("lab") | {"release": "epoxy-debian13"}, stacks.facts() | {"release": "zed-debian12"})
    assert error.value.findings == [
        "openstack-lab:release: 'epoxy-debian13' is not allowed;"
        " allowed: zed-debian12, which set-up prepared; run `make setup`"
    ]


def test_without_set_up_the_program_says_what_is_missing() -> None:
    """Plain `pulumi up` in a fresh clone."""
    with pytest.raises(config.ConfigError) as error:
        config.load(stacks.values("lab"), {})
    assert error.value.findings == [
        ".lab/host.json: no libvirt_uri, pool, domain_type, template, image; `make setup` writes it"
    ]


def test_values_from_the_engine_are_read_like_plain_ones() -> None:
    """The engine hands every value over as text."""
    texts = {"openstack-lab:dns": '["9.9.9.9"]', "other:key": "x", "openstack-lab:passwords": "guide"}
    plain = {key.partition(":")[2]: config._plain(text) for key, text in texts.items() if "lab" in key}
    assert plain == {"dns": ["9.9.9.9"], "passwords": "guide"}


@pytest.mark.parametrize("value", ["text", "", 8, 1.5, True, None, ["a", 1], []])
def test_an_option_has_any_value_that_a_file_can_hold(value: object) -> None:
    assert stacks.load("lab", options={"nova": {"nova.conf": {"DEFAULT": {"option": value}}}}).site.options


@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}], [["a"]], [None], "one\ntwo"])
def test_an_option_that_no_file_can_hold_is_refused(value: object) -> None:
    """A mapping would be written as the list of its keys, a second line as an option of its own."""
    assert findings(options={"nova": {"nova.conf": {"DEFAULT": {"option": value}}}}) == [
        f"openstack-lab:options.nova.nova.conf.DEFAULT.option: {value!r} is not allowed;"
        " allowed: text of one line, a number, true or false, a list of these, or null"
    ]


def test_a_password_of_an_operators_own_option_can_be_given() -> None:
    """Its name is known by its placeholder."""
    options = {"keystone": {"keystone.conf": {"ldap": {"password": "@ldap_secret@"}}}}
    secrets = stacks.load("lab", options=options, passwordOverrides={"ldap_secret": "long-enough"}).secrets
    assert secrets.value("ldap_secret") == "long-enough"


def test_a_host_name_of_64_characters_is_taken() -> None:
    nodes = stacks.load("compact", domain="d" * 36 + ".local").site.topology.nodes
    assert max(len(node.fqdn) for node in nodes) == 64


def test_an_option_is_not_taken_from_what_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stand in clear in the state and in every preview; the finding does not show it either."""
    monkeypatch.setattr(config, "host_facts", stacks.facts)
    values = stacks.values("compact") | {"options": {"glance": {"glance-api.conf": {"DEFAULT": {"key": "hush"}}}}}
    texts = {f"{config.PROJECT}:{key}": json.dumps(value).strip('"') for key, value in values.items()}
    secret = {f"{config.PROJECT}:options", f"{config.PROJECT}:masterSecret", f"{config.PROJECT}:passwordOverrides"}
    with pytest.raises(config.ConfigError) as error:
        config.from_engine(texts, secret.__contains__)
    assert error.value.findings == [
        "openstack-lab:options: '***' is not allowed; allowed: nothing encrypted; @NAME_secret@ as a value, and"
        " passwordOverrides.NAME_secret with --secret"
    ]
    assert config.from_engine(texts, (secret - {f"{config.PROJECT}:options"}).__contains__).site.options


def test_an_operators_option_lies_over_the_labs_own() -> None:
    """One option of one file; the rest stays."""
    site = stacks.load("lab", options={"glance": {"glance-api.conf": {"DEFAULT": {"debug": True}}}}).site
    glance = next(service for service in site.catalogue if service.name == "glance")
    texts = {file.path: file.text for file in site.files(glance, site.topology.having(Role.CONTROLLER)[0])}
    text = texts["/etc/glance/glance-api.conf"]
    assert "debug = true\n" in text
    assert "enabled_backends = file:file\n" in text
