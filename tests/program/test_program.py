"""The whole program against a recording engine: what it asks for, in what order, with which secrets."""

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from components.config import PROJECT
from components.releases import RELEASES
from components.services import CATALOGUE
from components.services.glance import GLANCE
from components.services.model import CATALOG
from tests import stacks
from tests.program import engine

GOLDEN = Path(__file__).parent / "urns"


def with_enabled(*names: str) -> str:
    """Changes that switch machines of the lab on."""
    nodes = stacks.values("lab")["nodes"]
    for name in names:
        nodes[name]["enabled"] = True
    return json.dumps({"nodes": nodes})


def changed(before: dict[str, engine.Resource], after: dict[str, engine.Resource]) -> set[str]:
    """Names of the resources whose inputs an update would change."""
    return {before[key].name for key in before.keys() & after.keys() if before[key].inputs != after[key].inputs}


def added(before: dict[str, engine.Resource], after: dict[str, engine.Resource]) -> set[str]:
    """Names of the resources that an update would make."""
    return {after[key].name for key in after.keys() - before.keys()}


def runs_on(command: engine.Resource) -> str:
    """Name of the machine that a command is for."""
    return str(command.request.deletedWith).rpartition("::")[2].removesuffix("-domain")


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_the_resources_are_the_golden_list(stack: str, request: pytest.FixtureRequest) -> None:
    """A renamed or reparented resource is a replaced one: the list makes it a decision."""
    urns = "\n".join(sorted(resource.urn for resource in engine.run(stack).values())) + "\n"
    golden = GOLDEN / f"{stack}.txt"
    if request.config.getoption("--update-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(urns)
    assert unrooted(urns) == unrooted(golden.read_text())


def unrooted(urns: str) -> str:
    """Without stack and project, which the engine's stand-in does not know in the first run of a process."""
    return re.sub(r"^urn:pulumi:.*?::.*?::", "", urns, flags=re.MULTILINE)


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_only_components_and_providers_hang_off_the_stack(stack: str) -> None:
    """Everything else has a component as its parent."""
    loose = [
        resource.name
        for resource in engine.run(stack).values()
        if resource.parent == f"{PROJECT}-{stack}" and not resource.type.startswith(("lab:", "pulumi:providers:"))
    ]
    assert loose == []


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_no_command_text_is_secret_and_every_input_of_secrets_is(stack: str) -> None:
    """Texts show in previews and process lists; what must not show goes in on standard input, unlogged."""
    for command in engine.commands(engine.run(stack)).values():
        assert "create" not in command.secret, command.name
        assert "connection" in command.secret, command.name
        assert "delete" not in command.inputs, command.name
        if "stdin" in command.inputs:
            assert "stdin" in command.secret, command.name
            assert command.inputs["logging"] == "none", command.name


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_no_secret_stands_in_any_plain_input(stack: str) -> None:
    """Every secret that goes in on any standard input, and the master secret, searched in everything that is plain."""
    resources = engine.run(stack)
    lines = [line for each in engine.commands(resources).values() for line in each.inputs.get("stdin", "").split()]
    secrets = {line.partition("=")[2] for line in lines} | {stacks.MASTER}
    assert len(secrets) > 8
    for resource in resources.values():
        plain = json.dumps({name: value for name, value in resource.inputs.items() if name not in resource.secret})
        assert not [secret for secret in secrets if secret in plain], resource.name
        assert "PRIVATE KEY" not in plain, resource.name


def test_commands_share_the_fate_of_their_machine() -> None:
    """Destroy never needs a living guest; a new machine is set up anew."""
    for command in engine.commands(engine.run("lab")).values():
        machine = runs_on(command)
        assert command.request.deletedWith.endswith(f"::{machine}-domain"), command.name
        own = {f"{machine}-domain", f"{machine}-disk", "template"}
        if command.name.endswith(("-discover", "-reported")):
            assert command.replaced_with >= own, command.name
        else:
            assert command.replaced_with == own, command.name


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_another_disk_is_another_machine(stack: str) -> None:
    """Of the same path, it would lie under the running machine unseen; and there cannot be two of one name."""
    resources = engine.run(stack)
    for node in stacks.load(stack).site.topology.nodes:
        disk = resources[f"libvirt:index/volume:Volume {node.name}-disk"]
        domain = resources[f"libvirt:index/domain:Domain {node.name}-domain"]
        assert domain.replaced_with == {f"{node.name}-disk", "template"}
        assert disk.request.deleteBeforeReplace
        assert domain.request.deleteBeforeReplace


def test_the_cloud_is_gone_with_the_database() -> None:
    """Deleting users and images one by one would need an API that answers; children inherit it in the engine."""
    resources = engine.run("lab")
    for component in ("lab:cloud:Cloud cloud", "lab:openstack:Catalog catalog"):
        assert resources[component].request.deletedWith.rpartition("::")[2] == "mysql-master-domain"
    inside = [each for each in resources.values() if each.type.startswith("openstack:")]
    assert len(inside) > 10
    assert {each.parent for each in inside} == {"catalog", "cloud", "tenant", "image", "provider-network", "access"}
    for component in ("Tenant tenant", "PublicImage image", "ProviderNetwork provider-network", "Access access"):
        assert resources[f"lab:cloud:{component}"].parent == "cloud"


def test_what_a_command_did_is_on_the_disk_before_the_engine_notes_it() -> None:
    """A machine that was switched off a moment later came back with empty files, which nothing wrote again."""
    ends = [command.inputs["create"].splitlines()[-2:] for command in engine.commands(engine.run("lab")).values()]
    assert len(ends) > 100
    assert [end for end in ends if end != ["sync", "SCRIPT"]] == []


def test_only_starts_have_triggers() -> None:
    """A restart happens when, and only when, the digest of the service's files changes."""
    for command in engine.commands(engine.run("lab")).values():
        assert ("triggers" in command.inputs) == command.name.endswith("-start"), command.name


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("keystone-database", "mariadb-mysql-master-start"),
        ("keystone-migrate-keystone", "keystone-database"),
        ("keystone-migrate-keystone", "keystone-controller1-files"),
        ("keystone-migrate-keystone", "keepalived-haproxy1-start"),
        ("keystone-bootstrap", "keystone-migrate-keystone"),
        ("keystone-controller1-start", "keystone-migrate-keystone"),
        ("keystone-controller1-start", "keystone-controller1-keys"),
        ("glance-controller1-start", "glance-migrate-glance"),
        ("keepalived-haproxy1-start", "network-haproxy1-start"),
        ("mariadb-mysql-master-start", "network-mysql-master-start"),
        ("rabbitmq-mysql-master-start", "network-mysql-master-start"),
        ("memcached-mysql-master-start", "network-mysql-master-start"),
        *(
            (f"{service}-controller1-start", "network-controller1-start")
            for service in ("keystone", "glance", "placement", "nova", "neutron", "horizon")
        ),
        ("keystone-controller1-files", "controller1-packages"),
        ("placement-controller1-start", "placement-migrate-placement"),
        ("nova-compute-node1-start", "placement-controller1-start"),
        ("glance-database-password", "glance-controller1-start"),
        ("nova-database-password", "nova-controller1-start"),
        ("nova-controller1-start", "nova-cells"),
        ("nova-cells", "nova-migrate-nova_api"),
        ("nova-cells", "nova-migrate-nova_cell0"),
        ("nova-compute-node1-start", "nova-controller1-start"),
        ("nova-compute-node2-start", "nova-controller1-start"),
        ("nova-compute-node1-start", "nova-compute-node1-virtualisation"),
        ("neutron-linuxbridge-node1-start", "network-node1-start"),
        ("neutron-linuxbridge-node1-start", "neutron-controller1-start"),
        ("neutron-dhcp-controller1-start", "neutron-linuxbridge-controller1-start"),
        ("neutron-dhcp-controller1-start", "neutron-linuxbridge-reported"),
        ("neutron-metadata-controller1-start", "neutron-controller1-start"),
        ("horizon-controller1-start", "keystone-controller1-start"),
    ],
)
def test_a_step_waits_for_what_it_needs(later: str, earlier: str) -> None:
    """Directly, as the service's data says."""
    assert earlier in engine.commands(engine.run("lab"))[later].dependencies


def test_a_node_waits_for_its_own_network_alone() -> None:
    """Which is up long before the last one's."""
    commands = engine.commands(engine.run("lab"))
    for name, command in commands.items():
        networks = {each for each in command.dependencies if each.startswith("network-") and each.endswith("-start")}
        assert networks <= {f"network-{runs_on(command)}-start"}, name


EPOXY = json.dumps({"release": "epoxy-debian13"})


def test_another_release_changes_the_resources_of_its_own_services_and_roles_alone() -> None:
    """Open vSwitch in the place of Linux bridges, and the roles that newer policies ask for."""
    zed, epoxy = ({each.name for each in engine.run("lab", changes).values()} for changes in ("{}", EPOXY))
    assert [name for name in zed - epoxy if not name.startswith("neutron-linuxbridge")] == []
    assert {name for name in epoxy - zed if not name.startswith(("openvswitch", "neutron-openvswitch"))} == {
        "myuser-member",
        *(f"{service}-role-service" for service in ("glance", "placement", "nova", "neutron")),
    }


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("openvswitch-node1-start", "network-node1-start"),
        ("openvswitch-node1-bridge", "openvswitch-node1-start"),
        ("neutron-openvswitch-node1-start", "openvswitch-node1-bridge"),
        ("neutron-openvswitch-node1-start", "neutron-controller1-start"),
        ("neutron-dhcp-controller1-start", "neutron-openvswitch-reported"),
    ],
)
def test_the_switch_has_its_bridge_before_an_agent_asks_for_it(later: str, earlier: str) -> None:
    assert earlier in engine.commands(engine.run("lab", EPOXY))[later].dependencies


def test_a_compute_node_gets_its_identity_from_its_name_before_nova_starts() -> None:
    """So that it has the same one on a new disk; an identity that Nova made up itself stays."""
    script = engine.commands(engine.run("lab", EPOXY))["nova-compute-node1-start"].inputs["create"]
    absent = script.index("[ ! -e /var/lib/nova/compute_id ]")
    written = script.index("file /var/lib/nova/compute_id nova:nova 0644")
    assert absent < written < script.index("start nova-compute")


def test_every_role_is_given_by_the_identifier_that_keystone_told() -> None:
    """In the order in which the bootstrap asks for them."""
    resources = engine.run("lab", EPOXY)
    asked = re.findall("WHERE name = '(.*?)'", engine.commands(resources)["keystone-bootstrap"].inputs["create"])
    assert asked == ["admin", "member", "service"]
    given = {each.name: each.inputs["roleId"] for each in resources.values() if each.type.endswith(":RoleAssignment")}
    assert given["nova-role"] == "first"
    assert given["myuser-member"] == "second"
    assert given["nova-role-service"] == "third"
    assert given["myuser-myrole"] == "myrole-id"


def test_nova_starts_after_all_users_and_endpoints() -> None:
    """Its conductor and scheduler look others up in the catalog of their first token."""
    resources = engine.run("lab")
    in_catalog = {
        each.name
        for each in resources.values()
        if each.parent == "catalog" and each.name.endswith(("-role", "-public", "-internal", "-admin"))
    }
    assert len(in_catalog) == 4 * (1 + 3)
    assert in_catalog <= engine.commands(resources)["nova-controller1-start"].dependencies


def test_compute_nodes_are_discovered_once_all_of_them_have_started() -> None:
    """By the controller, which may ask the database."""
    commands = engine.commands(engine.run("lab"))
    discover = commands["nova-compute-discover"]
    starts = {name for name in commands if name.startswith("nova-compute-") and name.endswith("-start")}
    assert starts == {"nova-compute-node1-start", "nova-compute-node2-start"}
    assert starts <= discover.dependencies
    assert runs_on(discover) == "controller1"
    for node in ("node1", "node2"):
        assert f"openstack-{node}.magedu.local" in discover.inputs["create"]


def test_what_waits_for_reports_runs_again_when_a_machine_that_reports_is_made_anew() -> None:
    """The last report of its predecessor still counts: it would be taken for the new one's."""
    commands = engine.commands(engine.run("lab"))
    for name in ("nova-compute-discover", "neutron-linuxbridge-reported"):
        assert {"controller1-domain", "node1-domain", "node2-domain", "node2-disk"} <= commands[name].replaced_with
        assert commands[name].request.deletedWith.endswith("::controller1-domain")
    assert "last_seen_up > '$since'" in commands["nova-compute-discover"].inputs["create"]


@pytest.mark.parametrize("agent", ["neutron-linuxbridge", "neutron-dhcp", "neutron-metadata"])
def test_the_report_of_every_agent_is_awaited_where_the_database_may_be_asked(agent: str) -> None:
    """Once all of its starts are through."""
    commands = engine.commands(engine.run("lab"))
    reported = commands[f"{agent}-reported"]
    assert {name for name in commands if name.startswith(f"{agent}-") and name.endswith("-start")} <= (
        reported.dependencies
    )
    assert runs_on(reported) == "controller1"


def test_nothing_waits_for_a_machine_that_it_does_not_need() -> None:
    """Compute nodes boot beside the control plane, not before it."""
    commands = engine.commands(engine.run("lab"))

    def behind(name: str) -> set[str]:
        direct = commands[name].dependencies & commands.keys()
        return direct.union(*(behind(each) for each in direct))

    assert not [name for name in behind("keystone-controller1-start") if "node1" in name or "node2" in name]


def test_every_machine_has_a_connection_to_libvirt_of_its_own() -> None:
    """On a shared one cloud-init disks that are written or read side by side block each other for good."""
    resources = engine.run("lab")
    for node in stacks.load("lab").site.topology.nodes:
        for kind in ("cloudInitDisk:CloudInitDisk", "domain:Domain", "volume:Volume"):
            name = {"cloudInitDisk:CloudInitDisk": "cloud-init", "domain:Domain": "domain", "volume:Volume": "disk"}[
                kind
            ]
            resource = resources[f"libvirt:index/{kind} {node.name}-{name}"]
            assert f"::{node.name}-hypervisor::" in resource.request.provider


def test_identity_waits_for_keystone_and_the_cloud_for_everything() -> None:
    """The provider keeps the catalog of its first authentication, so the second one must see all of it."""
    resources = engine.run("lab")
    identity = resources["pulumi:providers:openstack identity"]
    cloud = resources["pulumi:providers:openstack cloud"]
    assert identity.dependencies == {"keystone-controller1-start", "keystone-bootstrap"}
    assert {"glance-public", "glance-internal", "glance-admin", "glance-controller1-start"} <= cloud.dependencies
    last = {
        *(name for name in engine.commands(resources) if name.endswith(("-start", "-reported", "-discover"))),
        *(each.name for each in resources.values() if each.type == "openstack:identity/endpointV3:EndpointV3"),
    }
    assert {"neutron-linuxbridge-reported", "neutron-dhcp-reported", "nova-compute-discover"} <= last
    tenant = resources["pulumi:providers:openstack tenant"]
    assert last <= cloud.dependencies
    assert last | {"myuser-myrole"} <= tenant.dependencies
    image = resources["openstack:images/image:Image image"]
    assert "::cloud::" in image.request.provider
    assert "::identity::" in resources["openstack:identity/user:User myuser"].request.provider


def test_the_tenants_instance_waits_for_its_subnet_and_its_rules() -> None:
    """Without a subnet it has no address, without rules nobody can log in to it."""
    resources = engine.run("lab", json.dumps({"instance": True}))
    instance = resources["openstack:compute/instance:Instance vm1"]
    assert {"provider-subnet", "allow-ping", "allow-ssh", "provider", "image", "flavor", "key", "ping-ssh"} <= (
        instance.dependencies
    )
    for mine in ("compute/instance:Instance vm1", "compute/keypair:Keypair key"):
        assert "::tenant::" in resources[f"openstack:{mine}"].request.provider
    for shared in ("networking/network:Network provider", "compute/flavor:Flavor flavor", "images/image:Image image"):
        assert "::cloud::" in resources[f"openstack:{shared}"].request.provider


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_there_is_an_instance_when_and_only_when_it_is_asked_for(stack: str) -> None:
    """Its switch adds one component, one server, and touches nothing else."""
    without, having = (engine.run(stack, json.dumps({"instance": wanted})) for wanted in (False, True))
    assert added(without, having) == {"instance", "vm1"}
    assert changed(without, having) == set()
    assert [key for key in without if "Instance" in key] == []


def test_a_cloud_without_compute_nodes_is_planned() -> None:
    """A controller alone is a cloud that can be looked at."""
    nodes = stacks.values("compact")["nodes"]
    nodes["node1"]["enabled"] = False
    resources = engine.run("compact", json.dumps({"nodes": nodes, "instance": False}))
    assert [key for key in resources if "nova-compute" in key or "node1" in key] == []
    assert "neutron-linuxbridge-controller1-start" in engine.commands(resources)


def memberships(resources: dict[str, engine.Resource]) -> dict[str, Any]:
    """What each membership would tell when it is deleted, by the name of its resource."""
    found = {each.name: each for each in resources.values() if each.name.endswith("-membership")}
    return {name: each.inputs["stdin"] for name, each in found.items()}


def test_every_service_that_reports_to_the_cloud_leaves_it_with_its_node_or_role() -> None:
    """Compute service, agents, and what controllers have of them; the compute service first."""
    resources = engine.run("lab", with_enabled("controller2"))
    told = memberships(resources)
    controller = {
        "nova-{}-membership": (["nova-conductor", "nova-scheduler"], "nova-conductor.service"),
        "neutron-linuxbridge-{}-membership": (["neutron-linuxbridge-agent"], "neutron-linuxbridge-agent.service"),
        "neutron-dhcp-{}-membership": (["neutron-dhcp-agent"], "neutron-dhcp-agent.service"),
        "neutron-metadata-{}-membership": (["neutron-metadata-agent"], "neutron-metadata-agent.service"),
    }
    compute = {
        "neutron-linuxbridge-{}-membership": controller["neutron-linuxbridge-{}-membership"],
        "{}-membership": (["nova-compute"], "nova-compute.service"),
    }
    places = {"controller1": controller, "controller2": controller, "node1": compute, "node2": compute}
    assert {name: each["binaries"] for name, each in told.items()} == {
        name.format(node): binaries for node, wanted in places.items() for name, (binaries, _) in wanted.items()
    }
    for node, wanted in places.items():
        for name, (_, unit) in wanted.items():
            assert unit in told[name.format(node)]["units"]
            assert told[name.format(node)]["host"] == f"openstack-{node}.magedu.local"
    commands = {each.name: each for each in resources.values() if each.type == "command:local:Command"}
    assert "neutron-linuxbridge-node1-membership" in commands["node1-membership"].dependencies
    assert "nova-compute-node1-start" in commands["node1-membership"].dependencies


def test_a_controller_that_computes_no_more_keeps_what_it_needs_itself() -> None:
    """Above all the agent that its own network hangs on."""
    alone = {"address": "172.16.0.101", "vcpus": 2, "memory": 8192, "disk": 20}
    roles = ["controller", "database", "loadbalancer"]
    before, after = (
        memberships(engine.run("compact", json.dumps({"nodes": {"alone": alone | {"roles": each}}, "instance": False})))
        for each in ([*roles, "compute"], roles)
    )
    assert before.keys() - after.keys() == {"alone-membership"}
    assert before["alone-membership"]["units"] == ["libvirtd.service", "nova-compute.service"]


def test_switching_a_compute_node_on_restarts_nothing() -> None:
    """It is one machine with its services; the others learn its name, one looks out for it, two take it in."""
    before, after = engine.run("lab"), engine.run("lab", with_enabled("node3"))
    assert before.keys() <= after.keys()
    assert [name for name in added(before, after) if "node3" not in name] == []
    assert {f"node3-{part}" for part in ("disk", "cloud-init", "domain", "login", "packages")} <= added(before, after)
    assert {f"nova-compute-node3-{step}" for step in ("files", "virtualisation", "start")} <= added(before, after)
    others = {f"{node.name}-login" for node in stacks.load("lab").site.topology.nodes}
    firewalls = {f"firewall-{node}-{step}" for node in ("controller1", "haproxy1") for step in ("files", "start")}
    assert changed(before, after) == others | firewalls | {"nova-compute-discover", "neutron-linuxbridge-reported"}


def test_a_second_load_balancer_restarts_no_more_than_it_has_to() -> None:
    """MariaDB and the firewalls let it in; the first one's HAProxy and keepalived do not know of it."""
    before, after = engine.run("lab"), engine.run("lab", with_enabled("haproxy2"))
    assert [name for name in added(before, after) if "haproxy2" not in name] == []
    others = {f"{node.name}-login" for node in stacks.load("lab").site.topology.nodes}
    nodes = ("controller1", "mysql-master", "haproxy1")
    firewalls = {f"firewall-{node}-{step}" for node in nodes for step in ("files", "start")}
    assert changed(before, after) == others | firewalls | {"mariadb-mysql-master-secure"}


def test_a_second_controller_reloads_haproxy_and_firewalls() -> None:
    """It gets a line in each of its listeners but the image service's, whose files lie on the first one."""
    before, after = (engine.commands(engine.run("lab", changes)) for changes in ("{}", with_enabled("controller2")))
    nodes = ("controller1", "haproxy1", "node1", "node2")
    assert {name for name in changed(before, after) if name.endswith(("-files", "-start"))} == {
        *("haproxy-haproxy1-files", "haproxy-haproxy1-start"),
        *(f"firewall-{node}-{step}" for node in nodes for step in ("files", "start")),
    }
    text = after["haproxy-haproxy1-files"].inputs["create"]
    lines = [line for line in text.splitlines() if line.strip().startswith("server 172.16.0.102 ")]
    ports = {line.split()[2].rpartition(":")[2] for line in lines}
    listeners = [each for service in stacks.load("lab").site.catalogue for each in service.listeners]
    databases = {"3306", "5672", "11211"}
    assert ports == {str(each.port) for each in listeners if not each.single} - databases
    known = before["haproxy-haproxy1-files"].inputs["create"].splitlines()
    assert [line for line in text.splitlines() if line not in lines] == known


def test_a_changed_listener_reloads_haproxy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of one file; the service behind it goes on."""
    before = engine.commands(engine.run("lab"))
    (listener,) = GLANCE.listeners
    slow = dataclasses.replace(GLANCE, listeners=(dataclasses.replace(listener, options=("timeout server 1h",)),))
    catalogue = tuple(slow if service is GLANCE else service for service in CATALOGUE)
    monkeypatch.setattr("components.config.CATALOGUE", catalogue)
    after = engine.commands(engine.run.__wrapped__("lab"))
    assert changed(before, after) == {"haproxy-haproxy1-files", "haproxy-haproxy1-start"}
    text = after["haproxy-haproxy1-files"].inputs["create"]
    assert text.replace("  timeout server 1h\n", "", 1) == before["haproxy-haproxy1-files"].inputs["create"]
    assert "reload-or-restart haproxy.service" in after["haproxy-haproxy1-start"].inputs["create"]


def test_a_changed_option_touches_one_file_and_one_restart() -> None:
    """What `preview` shows after `debug` of Glance is switched on."""
    options = json.dumps({"options": {"glance": {"glance-api.conf": {"DEFAULT": {"debug": True}}}}})
    before, after = (engine.commands(engine.run("lab", changes)) for changes in ("{}", options))
    assert changed(before, after) == {"glance-controller1-files", "glance-controller1-start"}
    text = after["glance-controller1-files"].inputs["create"]
    assert text.replace("debug = true\n", "") == before["glance-controller1-files"].inputs["create"]


def ini_files(release: str = "zed-debian12") -> list[tuple[str, str]]:
    """Service and name of every INI file that a release has."""
    site = stacks.load("lab", release=release).site
    return [
        (service.name, file.name)
        for service in site.catalogue
        for node in service.nodes(site.topology)[:1]
        for file, _ in site.ini_files(service, node)
    ]


@pytest.mark.parametrize(("service", "file"), ini_files())
def test_an_option_of_any_service_restarts_what_reads_the_file_and_nothing_else(service: str, file: str) -> None:
    """On each of the service's nodes: the service, and those that have the very same file there."""
    site = stacks.load("lab").site
    services = {each.name: each for each in site.catalogue}
    (path,) = (each.path for each in services[service].files if each.name == file)
    options = {service: {file: {"lab_test": {"option": "value"}}}}
    before, after = (engine.commands(engine.run("lab", json.dumps({"options": each}))) for each in ({}, options))
    readers = {
        f"{reader.name}-{node.name}"
        for node in services[service].nodes(site.topology)
        for reader in site.catalogue
        if node in reader.nodes(site.topology) and path in [each.path for each in reader.files]
    }
    assert changed(before, after) == {f"{reader}-{step}" for reader in readers for step in ("files", "start")}
    for reader in readers:
        text = after[f"{reader}-files"].inputs["create"]
        assert "[lab_test]\noption = value\n" in text
        assert "value" not in text.replace("\n[lab_test]\noption = value\n", "", 1)


@pytest.mark.parametrize(
    ("release", "service", "file"), [(release, *each) for release in RELEASES for each in ini_files(release)]
)
def test_services_that_share_a_file_agree_on_its_text(release: str, service: str, file: str) -> None:
    """Each of them writes it, so that the last one would win: whatever an operator sets, whatever roles a node has."""
    options = {service: {file: {"lab_test": {"option": "value"}}}}
    alone = stacks.values("compact")["nodes"]["controller1"]
    alone |= {"roles": ["controller", "database", "loadbalancer", "compute"], "memory": 8192}
    for nodes in (stacks.values("lab")["nodes"], {"alone": alone}):
        site = stacks.load("lab", release=release, options=options, nodes=nodes).site
        for node in site.topology.nodes:
            texts: dict[str, set[str]] = {}
            for each in site.catalogue:
                for rendered in site.files(each, node) if node in each.nodes(site.topology) else ():
                    texts.setdefault(rendered.path, set()).add(rendered.text)
            assert [path for path, different in texts.items() if len(different) > 1] == [], node.name


def test_a_changed_password_restarts_what_reads_it() -> None:
    """The digest follows secrets too, though it shows none."""
    overrides = json.dumps({"passwordOverrides": {"glance_database_password": "another-one"}})
    before, after = (engine.commands(engine.run("lab", changes)) for changes in ("{}", overrides))
    assert changed(before, after) == {
        "glance-database",
        "glance-controller1-files",
        "glance-migrate-glance",
        "glance-controller1-start",
        "glance-database-password",
    }


def test_a_rotated_master_secret_reaches_all_that_reads_a_password_and_no_machine() -> None:
    """Services without a password of their own go on as they are."""
    rotated = json.dumps({"masterSecret": "another-master-secret-of-forty-letters..", "machineSecret": stacks.MASTER})
    before, after = (engine.run("lab", changes) for changes in ("{}", rotated))
    others = {name for name in before if not before[name].type.startswith("command:")}
    assert {name.rpartition(" ")[2] for name in others if before[name].inputs != after[name].inputs} == {
        *(f"{service.name}-user" for service in stacks.load("lab").site.catalogue if service.has_user),
        *("myuser", "identity", "cloud", "tenant"),
    }
    renewed = changed(engine.commands(before), engine.commands(after))
    started = {name for name in renewed if name.endswith("-start")}
    assert {"nova-controller1-start", "rabbitmq-mysql-master-start", "keepalived-haproxy1-start"} <= started
    assert not started & {"time-node1-start", "network-node1-start", "mariadb-mysql-master-start"}
    assert {"keystone-bootstrap", "mariadb-mysql-master-secure"} <= renewed
    assert {"nova-database", "nova-database-password"} <= renewed
    assert not renewed & {"node1-login", "node1-packages"}


def test_a_configuration_is_checked_before_every_start() -> None:
    """A file that HAProxy would refuse never takes the running one down."""
    script = engine.commands(engine.run("lab"))["haproxy-haproxy1-start"].inputs["create"]
    assert script.index("haproxy -c -q -f /etc/haproxy/haproxy.cfg") < script.index("start haproxy")


@pytest.mark.parametrize("release", RELEASES)
def test_nova_s_api_answers_again_before_the_rest_of_nova_restarts(release: str) -> None:
    """Which an emulated machine would otherwise start beside it, at the API's cost."""
    commands = engine.commands(engine.run("compact", json.dumps({"release": release})))
    lines = [shlex.split(line) for line in commands["nova-controller1-start"].inputs["create"].splitlines()]
    staged = [line for line in lines if line[0] in ("start", "restart_last", "wait_for")]
    assert [line[0] for line in staged] == ["start", *["wait_for"] * 3, "restart_last", *["wait_for"] * 3]
    (start, again), (waits, waits_again) = (staged[0], staged[4]), (staged[1:4], staged[5:])
    assert [unit for unit in start[4:] if "api" in unit] == start[4:] != []
    assert again[1:] == start[1:4]
    assert waits == waits_again


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_packages_every_service_and_one_way_to_connect_instances(release: str) -> None:
    """A service that a release forgets would be missing without a word."""
    ways = ({"neutron-linuxbridge"}, {"openvswitch", "neutron-openvswitch"})
    needed = {service.name for service in CATALOGUE} - set().union(*ways)
    assert RELEASES[release].packaging.keys() in [needed | way for way in ways]


@pytest.mark.parametrize("release", RELEASES)
def test_a_lab_has_the_services_that_its_release_packages_in_the_catalogues_order(release: str) -> None:
    there = [service.name for service in stacks.load("lab", release=release).site.catalogue]
    assert there == [service.name for service in CATALOGUE if service.name in RELEASES[release].packaging]


def test_the_catalogue_is_consistent() -> None:
    """Ports and names are unique; what a service comes after stands before it."""
    ports = [listener.port for service in CATALOGUE for listener in service.listeners]
    assert len(ports) == len(set(ports))
    names = [service.name for service in CATALOGUE]
    assert len(names) == len(set(names))
    for index, service in enumerate(CATALOGUE):
        assert set(service.after) <= {*names[:index], CATALOG}, service.name
