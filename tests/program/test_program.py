"""The whole program against a recording engine: what it asks for, in what order, with which secrets."""

import json
from pathlib import Path

import pytest

from components.config import PROJECT
from components.releases import RELEASES
from tests import stacks
from tests.program import engine

GOLDEN = Path(__file__).parent / "urns"


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_the_resources_are_the_golden_list(stack: str, request: pytest.FixtureRequest) -> None:
    """A renamed or reparented resource is a replaced one: the list makes it a decision."""
    urns = "\n".join(sorted(resource.urn for resource in engine.run(stack).values())) + "\n"
    golden = GOLDEN / f"{stack}.txt"
    if request.config.getoption("--update-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(urns)
    assert urns == golden.read_text()


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
        domain = command.request.deletedWith.rpartition("::")[2]
        assert domain.endswith("-domain"), command.name
        assert [urn.rpartition("::")[2] for urn in command.request.replace_with] == [domain], command.name


def test_the_cloud_is_gone_with_the_database() -> None:
    """Deleting users and images one by one would need an API that answers; children inherit it in the engine."""
    resources = engine.run("lab")
    cloud = resources["lab:cloud:Cloud cloud"]
    assert cloud.request.deletedWith.rpartition("::")[2] == "mysql-master-domain"
    inside = [each for each in resources.values() if each.type.startswith("openstack:")]
    assert len(inside) > 10
    assert all("lab:cloud:Cloud$" in each.urn or each.parent in ("identity", "tenant", "image") for each in inside)


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
        ("keystone-controller1-files", "controller1-packages"),
    ],
)
def test_a_step_waits_for_what_it_needs(later: str, earlier: str) -> None:
    """Directly, as the service's data says."""
    assert earlier in engine.commands(engine.run("lab"))[later].dependencies


def test_nothing_waits_for_a_machine_that_it_does_not_need() -> None:
    """Compute nodes boot beside the control plane, not before it."""
    commands = engine.commands(engine.run("lab"))

    def behind(name: str) -> set[str]:
        direct = commands[name].dependencies & commands.keys()
        return direct.union(*(behind(each) for each in direct))

    assert not [name for name in behind("keystone-controller1-start") if "node1" in name or "node2" in name]


def test_uploads_to_libvirt_follow_each_other() -> None:
    """Side by side they can fill the five requests that libvirt takes of one client, and hang."""
    resources = engine.run("lab")
    disks = [f"{node.name}-cloud-init" for node in stacks.load("lab").site.topology.nodes]
    for disk, before in zip(disks, ["template", *disks], strict=False):
        assert resources[f"libvirt:index/cloudInitDisk:CloudInitDisk {disk}"].dependencies == {before}


def test_identity_waits_for_keystone_and_the_cloud_for_everything() -> None:
    """The provider keeps the catalog of its first authentication, so the second one must see all of it."""
    resources = engine.run("lab")
    identity = resources["pulumi:providers:openstack identity"]
    cloud = resources["pulumi:providers:openstack cloud"]
    assert identity.dependencies == {"keystone-controller1-start", "keystone-bootstrap"}
    assert {"glance-public", "glance-internal", "glance-admin", "glance-controller1-start"} <= cloud.dependencies
    image = resources["openstack:images/image:Image image"]
    assert "::cloud::" in image.request.provider
    assert "::identity::" in resources["openstack:identity/user:User myuser"].request.provider


def test_a_changed_option_touches_one_file_and_one_restart() -> None:
    """What `preview` shows after `debug` of Glance is switched on."""
    options = json.dumps({"options": {"glance": {"glance-api.conf": {"DEFAULT": {"debug": True}}}}})
    before, after = (engine.commands(engine.run("lab", changes)) for changes in ("{}", options))
    changed = {name for name in before if before[name].inputs != after[name].inputs}
    assert changed == {"glance-controller1-files", "glance-controller1-start"}
    text = after["glance-controller1-files"].inputs["create"]
    assert text.replace("debug = true\n", "") == before["glance-controller1-files"].inputs["create"]


def test_a_changed_password_restarts_what_reads_it() -> None:
    """The digest follows secrets too, though it shows none."""
    overrides = json.dumps({"passwordOverrides": {"glance_database_password": "another-one"}})
    before, after = (engine.commands(engine.run("lab", changes)) for changes in ("{}", overrides))
    changed = {name for name in before if before[name].inputs != after[name].inputs}
    assert changed == {
        "glance-database",
        "glance-controller1-files",
        "glance-migrate-glance",
        "glance-controller1-start",
    }


def test_a_configuration_is_checked_before_every_start() -> None:
    """A file that HAProxy would refuse never takes the running one down."""
    script = engine.commands(engine.run("lab"))["haproxy-haproxy1-start"].inputs["create"]
    assert script.index("haproxy -c -q -f /etc/haproxy/haproxy.cfg") < script.index("start haproxy")


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_packages_every_service(release: str) -> None:
    """A service without packaging would fail at run time only."""
    site = stacks.load("lab", release=release).site
    assert {service.name for service in site.catalogue} == RELEASES[release].packaging.keys()


def test_the_catalogue_is_consistent() -> None:
    """Ports and names are unique; what a service comes after stands before it."""
    catalogue = stacks.load("lab").site.catalogue
    ports = [listener.port for service in catalogue for listener in service.listeners]
    assert len(ports) == len(set(ports))
    names = [service.name for service in catalogue]
    assert len(names) == len(set(names))
    for index, service in enumerate(catalogue):
        assert set(service.after) <= set(names[:index]), service.name
