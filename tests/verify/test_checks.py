"""The checks on answers made by hand: all right for a healthy lab, and for each fault exactly the rows that name it."""

import dataclasses
import itertools
import json
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.session import Session

from components import remote
from components.config import Config
from components.releases import RELEASES
from components.releases.zed_debian12 import ZED_DEBIAN12
from components.services.model import Endpoint, Listener, Packaging, Service
from components.topology import Node, Role
from tests import stacks
from tests.program import engine
from tools import stack_values, verify
from tools.verify import ask, checks, cloud_checks, drift, instance, nodes
from tools.verify.model import (
    Answers,
    Assignment,
    Clock,
    Daemon,
    FileState,
    Finding,
    Grant,
    Hypervisor,
    ImageFound,
    Instance,
    Login,
    MissingError,
    NodeReport,
    Page,
    Provider,
    Row,
    Server,
    UnansweredError,
    UnitState,
    UpgradeCheck,
    UpgradeChecks,
    VersionDocument,
    Visit,
)

RUNNING = UnitState("active", "running", "enabled")
IDLE = UnitState("inactive", "dead", "disabled")


def units(config: Config, node: Node, state: UnitState = RUNNING) -> dict[str, UnitState]:
    """All units, those of the node in that state."""
    site = config.site
    return dict.fromkeys(nodes.every_unit(site), IDLE) | dict.fromkeys(nodes.units_of(site, node), state)


IN_SYNC = Clock(offset=0.0003, leap="Normal", stratum=11, source="172.16.0.101")
DIGEST = "ab" * 32


def healthy(config: Config) -> Answers:
    """What a lab of that configuration answers when nothing is wrong."""
    site = config.site
    catalog = [
        {
            "type": service.endpoint.type,
            "name": service.name,
            "endpoints": [
                {"interface": interface, "region": site.region, "url": site.url(service.endpoint)}
                for interface in ("public", "internal", "admin")
            ],
        }
        for service in site.catalogue
        if service.endpoint
    ]
    balancer = site.topology.having(Role.LOADBALANCER)[0]
    computes = site.topology.having(Role.COMPUTE)
    return Answers(
        nodes={
            node.name: NodeReport(
                holds_vip=node == balancer,
                free=17_000,
                clock=IN_SYNC,
                units=units(config, node),
                files={
                    file.path: drift.state_of(config, file) for file in (*remote.foundation(site), *site.files_on(node))
                },
                absent=(),
            )
            for node in site.topology.nodes
        },
        grants=frozenset(
            Grant(service.name, place, database)
            for service in site.catalogue
            for database in service.databases
            for place in ("localhost", "%")
        ),
        servers=tuple(
            Server(
                listener=listener.section,
                name=str(node.address),
                status="UP",
                check="L4OK",
                seconds="60",
            )
            for service in site.catalogue
            for listener in service.listeners
            for node in service.nodes(site.topology)
        ),
        lets_in=frozenset(),
        endpoints={
            service.name: VersionDocument(status=300, seconds=0.2, versions=("v2.15", "v2.9"))
            for service in site.catalogue
            if service.endpoint
        },
        logins={
            "admin": Login(session=Session(), project="admin", roles=("admin",), catalog=catalog),
            "myuser": Login(session=Session(), project="myproject", roles=("myrole",), catalog=catalog),
        },
        assignments=frozenset(
            {
                Assignment("admin", "admin", "admin"),
                *(Assignment("myuser", role, "myproject") for role in ("myrole", *site.release.user_roles)),
                *(
                    Assignment(service.name, role, "service")
                    for service in site.catalogue
                    if service.has_user
                    for role in ("admin", *site.release.service_roles)
                ),
            }
        ),
        image=ImageFound(status="active", size=15_204_352, sha256=DIGEST),
        image_sha256=DIGEST,
        providers=[
            Provider(name=node.fqdn, totals={"VCPU": node.vcpus, "MEMORY_MB": 1960, "DISK_GB": 19}) for node in computes
        ],
        compute_services=daemons(config, cloud_checks.COMPUTE_SERVICES),
        network_agents=daemons(config, cloud_checks.network_agents(config.site)),
        hypervisors=[
            Hypervisor(
                host=node.fqdn, up=True, enabled=True, vcpus=node.vcpus, memory=1960, disk=19, instances=position
            )
            for position, node in enumerate(computes)
        ],
        cells={"cell0": [], "cell1": [node.fqdn for node in computes]},
        upgrades={
            name: UpgradeChecks(status=0, results=(UpgradeCheck(name="Cells v2", result="Success", details=""),))
            for name in ("placement", "nova")
        },
        dashboard={user: Visit(path="/dashboard/settings/", user=user, seconds=3.25) for user in ("admin", "myuser")},
        console=Page(status=200, seconds=0.25, title="noVNC"),
        instance=Instance(status="ACTIVE", addresses=("172.16.100.50",), fault="") if config.tenant.instance else None,
    )


def daemons(config: Config, binaries: Mapping[str, Service]) -> list[Daemon]:
    """All of them, up and enabled."""
    return [
        Daemon(binary=binary, host=node.fqdn, up=True, enabled=True)
        for binary, service in binaries.items()
        for node in service.nodes(config.site.topology)
    ]


@pytest.fixture(params=itertools.product(stacks.STACKS, RELEASES), ids="-".join)
def config(request: pytest.FixtureRequest) -> Config:
    """Both stacks, five machines and every role on two, of every release."""
    stack, release = request.param
    return stacks.load(stack, release=release)


@pytest.fixture
def lab() -> Config:
    """The five machines."""
    return stacks.load("lab")


def wrong(config: Config, answers: Answers) -> list[Row]:
    """The rows that are not right."""
    return [row for row in checks.rows(config, answers) if not row.ok]


def with_node(answers: Answers, name: str, **changes: Any) -> Answers:
    """The same answers, but for one node."""
    report = answers.nodes[name]
    assert isinstance(report, NodeReport)
    return dataclasses.replace(answers, nodes={**answers.nodes, name: dataclasses.replace(report, **changes)})


def with_server(answers: Answers, listener: str, **changes: Any) -> Answers:
    """The same answers, but for the servers of one of HAProxy's sections."""
    assert not isinstance(answers.servers, UnansweredError)
    servers = [
        dataclasses.replace(server, **changes) if server.listener == listener else server for server in answers.servers
    ]
    return dataclasses.replace(answers, servers=servers)


def test_everything_is_right_in_a_healthy_lab(config: Config) -> None:
    assert wrong(config, healthy(config)) == []


def test_the_rows_cover_every_node_service_listener_and_endpoint(lab: Config) -> None:
    machines = ["controller1", "mysql-master", "haproxy1", "node1", "node2"]
    apis = ["keystone", "glance", "placement", "nova", "neutron"]
    assert subjects(checks.rows(lab, healthy(lab))) == {
        "node": machines,
        "disk": machines,
        "time": machines,
        "units": [
            *("time", "firewall", "mariadb", "rabbitmq", "memcached", "haproxy", "keepalived", "keystone", "glance"),
            *(
                "placement",
                "nova",
                "neutron",
                "neutron-linuxbridge",
                "neutron-dhcp",
                "neutron-metadata",
                "nova-compute",
                "horizon",
            ),
        ],
        "VIP": ["172.16.0.248"],
        "HAProxy": [
            *("mysql-3306", "rabbitmq-5672", "memcached-11211", "keystone-api-5000", "glance-api-9292"),
            *("placement-api-8778", "nova-controller-node-api-8774", "nova-metadata-8775", "nova-novncproxy-6080"),
            *("neutron-api-9696", "openstack-80"),
        ],
        "firewall": ["mysql-3306", "rabbitmq-5672", "memcached-11211", "nova-metadata-8775"],
        "endpoint": apis,
        "token": ["admin", "myuser"],
        "catalog": apis,
        "image": ["cirros-0.5.1"],
        "placement": ["node1", "node2"],
        "compute service": ["nova-scheduler", "nova-conductor", "nova-compute"],
        "network agent": ["neutron-linuxbridge-agent", "neutron-dhcp-agent", "neutron-metadata-agent"],
        "hypervisor": ["hypervisors"],
        "cell": ["cell0", "cell1"],
        "upgrade check": ["placement", "nova"],
        "dashboard": ["admin", "myuser"],
        "console": ["noVNC"],
        "files": machines,
        "packages": machines,
        "grants": apis,
        "roles": ["admin", "myuser", *apis[1:]],
    }


def subjects(rows: Sequence[Row]) -> dict[str, list[str]]:
    """What each check looked at, in order."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.check, []).append(row.subject)
    return found


def test_a_stack_with_an_instance_has_a_row_for_it() -> None:
    compact = stacks.load("compact")
    assert subjects(checks.rows(compact, healthy(compact)))["instance"] == ["vm1"]


def test_a_stack_without_compute_nodes_expects_none() -> None:
    values = stacks.values("compact")
    alone = stacks.load("compact", instance=False, nodes={"controller1": values["nodes"]["controller1"]})
    found = subjects(checks.rows(alone, healthy(alone)))
    assert found["compute service"] == ["nova-scheduler", "nova-conductor"]
    assert "placement" not in found
    assert wrong(alone, healthy(alone)) == []


def test_a_service_that_joins_the_catalogue_is_covered_without_a_change(lab: Config) -> None:
    heat = Service(
        name="heat",
        roles=(Role.CONTROLLER,),
        listeners=(Listener(name="heat-api", port=8004),),
        endpoint=Endpoint(type="orchestration", description="Heat", port=8004),
    )
    release = dataclasses.replace(
        ZED_DEBIAN12, packaging={**ZED_DEBIAN12.packaging, "heat": Packaging(units=("heat-api.service",))}
    )
    site = dataclasses.replace(lab.site, catalogue=(*lab.site.catalogue, heat), release=release)
    wider = dataclasses.replace(lab, site=site)
    rows = checks.rows(wider, healthy(wider))
    assert [(row.check, row.subject) for row in rows if row.subject.startswith("heat")] == [
        ("units", "heat"),
        ("HAProxy", "heat-api-8004"),
        ("endpoint", "heat"),
        ("catalog", "heat"),
    ]
    assert wrong(wider, healthy(wider)) == []


def test_a_node_that_cannot_be_logged_in_to_fails_with_everything_that_it_would_have_told(lab: Config) -> None:
    answers = healthy(lab)
    lost = UnansweredError("SSH to 172.16.0.103: timed out")
    rows = wrong(lab, dataclasses.replace(answers, nodes={**answers.nodes, "mysql-master": lost}))
    assert [(row.check, row.subject) for row in rows] == [
        ("node", "mysql-master"),
        ("time", "mysql-master"),
        ("units", "time"),
        ("units", "firewall"),
        ("units", "mariadb"),
        ("units", "rabbitmq"),
        ("units", "memcached"),
    ]
    assert rows[0].detail == "SSH to 172.16.0.103: timed out"
    assert rows[0].hint == "make status; virsh console openstack-mysql-master"
    assert rows[4].detail == "mysql-master: not reached by SSH"


@pytest.mark.parametrize(
    ("clock", "detail"),
    [
        (
            dataclasses.replace(IN_SYNC, offset=-1.5),
            "off by -1.500000 s, stratum 11, from 172.16.0.101, leap status Normal",
        ),
        (
            dataclasses.replace(IN_SYNC, leap="Not synchronised", source=""),
            "off by +0.000300 s, stratum 11, from its own clock, leap status Not synchronised",
        ),
        (UnansweredError("chronyc: 506 Cannot talk to daemon"), "chronyc: 506 Cannot talk to daemon"),
    ],
)
def test_a_clock_out_of_sync_fails(lab: Config, clock: Clock | UnansweredError, detail: str) -> None:
    (row,) = wrong(lab, with_node(healthy(lab), "node2", clock=clock))
    assert (row.check, row.subject, row.detail) == ("time", "node2", detail)
    assert row.hint == "on node2: journalctl -u chrony.service"


def test_a_full_disk_fails_and_says_how_to_see_what_fills_it(lab: Config) -> None:
    (row,) = wrong(lab, with_node(healthy(lab), "mysql-master", free=12))
    assert (row.check, row.subject, row.detail) == ("disk", "mysql-master", "12 MiB free, fewer than 256")
    assert row.hint.startswith("on mysql-master: du ")


def test_a_stopped_unit_fails_and_says_where_to_look(lab: Config) -> None:
    controller = lab.site.topology.having(Role.CONTROLLER)[0]
    stopped = units(lab, controller) | {"glance-api.service": UnitState("inactive", "dead", "enabled")}
    (row,) = wrong(lab, with_node(healthy(lab), "controller1", units=stopped))
    assert (row.check, row.subject) == ("units", "glance")
    assert row.detail == "controller1: glance-api.service is inactive (dead)"
    assert row.hint == "on controller1: journalctl -u glance-api.service, /var/log/glance/glance-api.log"


def test_a_unit_that_would_not_start_at_boot_fails(lab: Config) -> None:
    balancer = lab.site.topology.having(Role.LOADBALANCER)[0]
    disabled = units(lab, balancer) | {"haproxy.service": UnitState("active", "running", "disabled")}
    rows = wrong(lab, with_node(healthy(lab), "haproxy1", units=disabled))
    assert [row.detail for row in rows] == ["haproxy1: haproxy.service does not start at boot (disabled)"]


def test_a_unit_that_runs_where_it_is_not_for_fails_and_says_how_to_stop_it(lab: Config) -> None:
    """As the database does where a compute service's unit wants it."""
    compute = lab.site.topology.having(Role.COMPUTE)[0]
    strays = dict.fromkeys(("mariadb.service", "nova-api.service", "nova-scheduler.service"), RUNNING)
    rows = wrong(lab, with_node(healthy(lab), "node1", units=units(lab, compute) | strays))
    assert [(row.check, row.subject, row.lasts) for row in rows] == [
        ("units", "mariadb", True),
        ("units", "nova", True),
    ]
    assert rows[1].detail == "node1: nova-scheduler.service, nova-api.service runs, which no role of this node is for"
    assert rows[1].hint == "on node1: systemctl disable --now nova-scheduler.service nova-api.service"


def with_file(config: Config, node: str, path: str, state: FileState | None) -> Answers:
    """The same, but for one file of a node, which is gone where `state` is None."""
    answers = healthy(config)
    report = answers.nodes[node]
    assert isinstance(report, NodeReport)
    others = {name: each for name, each in report.files.items() if name != path}
    return with_node(answers, node, files=others | ({path: state} if state else {}))


@pytest.mark.parametrize(
    ("path", "state", "detail", "repairs"),
    [
        (
            "/etc/glance/glance-api.conf",
            FileState(owner="root:glance", mode="0640", sha256="0" * 64),
            "was changed",
            ["glance-controller1-files", "glance-controller1-start"],
        ),
        ("/etc/haproxy/haproxy.cfg", None, "is missing", ["haproxy-haproxy1-files", "haproxy-haproxy1-start"]),
        ("/etc/hosts", None, "is missing", ["node1-login"]),
        (
            "/etc/neutron/neutron.conf",
            None,
            "is missing",
            [
                *("neutron-controller1-files", "neutron-controller1-start"),
                *("neutron-linuxbridge-controller1-files", "neutron-linuxbridge-controller1-start"),
                *("neutron-dhcp-controller1-files", "neutron-dhcp-controller1-start"),
                *("neutron-metadata-controller1-files", "neutron-metadata-controller1-start"),
            ],
        ),
    ],
)
def test_a_file_that_somebody_changed_is_named_with_what_brings_it_back(
    lab: Config, path: str, state: FileState | None, detail: str, repairs: list[str]
) -> None:
    """One that services share brings all of them back."""
    node = repairs[0].removesuffix("-files").removesuffix("-login").rpartition("-")[2]
    (row,) = wrong(lab, with_file(lab, node, path, state))
    assert (row.check, row.subject, row.detail) == ("files", node, f"{path} {detail}")
    assert list(row.repairs) == repairs


def test_a_file_that_others_may_read_is_named_with_what_it_should_be(lab: Config) -> None:
    path = "/etc/nova/nova.conf"
    report = healthy(lab).nodes["node1"]
    assert isinstance(report, NodeReport)
    state = dataclasses.replace(report.files[path], mode="0644", owner="nova:nova")
    (row,) = wrong(lab, with_file(lab, "node1", path, state))
    assert row.detail == f"{path} belongs to nova:nova, not root:nova, has mode 0644, not 0640"


def test_a_missing_package_is_named(lab: Config) -> None:
    """With it may have gone the files of its service."""
    (row,) = wrong(lab, with_node(healthy(lab), "controller1", absent=("glance-api",)))
    assert (row.check, row.subject, row.detail) == ("packages", "controller1", "not installed: glance-api")
    assert row.repairs == ("controller1-packages", "glance-controller1-files", "glance-controller1-start")


def test_a_lost_grant_is_named(lab: Config) -> None:
    answers = healthy(lab)
    assert not isinstance(answers.grants, UnansweredError)
    lost = Grant("nova", "%", "nova_api")
    (row,) = wrong(lab, dataclasses.replace(answers, grants=answers.grants - {lost}))
    assert (row.check, row.subject, row.detail) == ("grants", "nova", "lost: nova@% on nova_api")
    assert row.repairs == ("nova-database",)


@pytest.mark.parametrize(
    ("lost", "repair"),
    [
        (Assignment("glance", "admin", "service"), "glance-role"),
        (Assignment("myuser", "myrole", "myproject"), "myuser-myrole"),
        (Assignment("admin", "admin", "admin"), "keystone-bootstrap"),
    ],
)
def test_a_lost_role_is_named(lab: Config, lost: Assignment, repair: str) -> None:
    answers = healthy(lab)
    assert not isinstance(answers.assignments, UnansweredError)
    (row,) = wrong(lab, dataclasses.replace(answers, assignments=answers.assignments - {lost}))
    assert (row.check, row.subject) == ("roles", lost.user)
    assert row.detail == f"does not have role {lost.role} in {lost.project}"
    assert row.repairs == (repair,)


def test_every_repair_is_a_resource_of_the_program(config: Config) -> None:
    """Where all is wrong, each step of each service that brings something back."""
    answers = healthy(config)
    bare = {
        node.name: NodeReport(
            holds_vip=False,
            free=17_000,
            clock=IN_SYNC,
            files={},
            absent=tuple(config.site.packages(node)),
            units=units(config, node, IDLE),
        )
        for node in config.site.topology.nodes
    }
    logins = {
        user: dataclasses.replace(login, catalog=[])
        for user, login in answers.logins.items()
        if isinstance(login, Login)
    }
    nothing = dataclasses.replace(answers, nodes=bare, grants=frozenset(), assignments=frozenset(), logins=logins)
    repairs = {name for row in wrong(config, nothing) for name in row.repairs}
    stack = "lab" if len(config.site.topology.nodes) > 2 else "compact"
    resources = engine.run(stack, json.dumps({"release": config.site.release.name}))
    assert len(repairs) > 40
    assert repairs <= {each.name for each in resources.values()}


def test_a_virtual_address_that_nobody_holds_fails(lab: Config) -> None:
    (row,) = wrong(lab, with_node(healthy(lab), "haproxy1", holds_vip=False))
    assert (row.check, row.detail) == ("VIP", "held by no node")
    assert row.hint == "on haproxy1: journalctl -u keepalived.service"


def test_a_virtual_address_that_two_nodes_hold_fails(lab: Config) -> None:
    (row,) = wrong(lab, with_node(healthy(lab), "controller1", holds_vip=True))
    assert row.detail == "held by controller1, haproxy1"


def test_a_server_that_haproxy_has_taken_out_fails(lab: Config) -> None:
    answers = with_server(healthy(lab), "glance-api-9292", status="DOWN", check="L4CON", seconds="42")
    (row,) = wrong(lab, answers)
    assert (row.check, row.subject) == ("HAProxy", "glance-api-9292")
    assert row.detail == "controller1: DOWN for 42 s (L4CON)"
    assert row.hint == "on controller1: journalctl -u glance-api.service, /var/log/glance/glance-api.log"


def test_a_database_that_takes_in_anybody_fails(lab: Config) -> None:
    open_to_all = frozenset({(IPv4Address("172.16.0.248"), 3306), (IPv4Address("172.16.0.103"), 3306)})
    (row,) = wrong(lab, dataclasses.replace(healthy(lab), lets_in=open_to_all))
    assert (row.check, row.subject) == ("firewall", "mysql-3306")
    assert row.detail == "takes in anybody at 172.16.0.248:3306, 172.16.0.103:3306"
    assert row.repairs == ("firewall-haproxy1-start", "firewall-mysql-master-start")


def test_a_server_that_haproxy_does_not_know_fails(lab: Config) -> None:
    (row,) = wrong(lab, with_server(healthy(lab), "mysql-3306", name="172.16.0.99"))
    assert row.detail == "mysql-master: HAProxy has no such server"


def test_only_the_first_node_of_what_is_not_replicated_is_expected_behind_haproxy() -> None:
    everybody = {
        name: {key: value for key, value in node.items() if key != "enabled"}
        for name, node in stacks.values("lab")["nodes"].items()
    }
    both = stacks.load("lab", nodes=everybody)
    second = str(both.site.topology.having(Role.CONTROLLER)[1].address)
    answers = healthy(both)
    assert not isinstance(answers.servers, UnansweredError)
    servers = [server for server in answers.servers if server.name != second]
    rows = wrong(both, dataclasses.replace(answers, servers=servers))
    assert [(row.subject, row.detail) for row in rows] == [
        (listener, "controller2: HAProxy has no such server")
        for listener in (
            *("keystone-api-5000", "placement-api-8778", "nova-controller-node-api-8774", "nova-metadata-8775"),
            *("nova-novncproxy-6080", "neutron-api-9696", "openstack-80"),
        )
    ]


def test_a_statistics_page_that_does_not_answer_fails_once(lab: Config) -> None:
    gone = UnansweredError("http://openstack-vip.magedu.local:9999/haproxy;csv: HTTP 401")
    (row,) = wrong(lab, dataclasses.replace(healthy(lab), servers=gone))
    assert (row.check, row.subject, row.detail) == ("HAProxy", "haproxy", str(gone))
    assert row.hint == "on haproxy1: journalctl -u haproxy.service"


@pytest.mark.parametrize(
    ("versions", "shown"), [(("v3.14",), "v3.14"), (("v2.15", "v2.13", "v2.12"), "v2.15 and 2 more")]
)
def test_an_endpoint_shows_its_versions(lab: Config, versions: tuple[str, ...], shown: str) -> None:
    answers = healthy(lab)
    document = VersionDocument(status=300, seconds=0.25, versions=versions)
    answers = dataclasses.replace(answers, endpoints={**answers.endpoints, "glance": document})
    (row,) = (row for row in checks.rows(lab, answers) if (row.check, row.subject) == ("endpoint", "glance"))
    assert row.ok
    assert row.detail == f"HTTP 300 with {shown} in 0.2 s from http://openstack-vip.magedu.local:9292"


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (
            VersionDocument(status=503, seconds=1.25, versions=()),
            "HTTP 503 with no version in 1.2 s from http://openstack-vip.magedu.local:9292",
        ),
        (
            VersionDocument(status=200, seconds=1.25, versions=()),
            "HTTP 200 with no version in 1.2 s from http://openstack-vip.magedu.local:9292",
        ),
        (
            VersionDocument(status=401, seconds=1.25, versions=("v2.15",)),
            "HTTP 401 with v2.15 in 1.2 s from http://openstack-vip.magedu.local:9292",
        ),
        (UnansweredError("http://…:9292: timed out"), "http://…:9292: timed out"),
    ],
)
def test_an_endpoint_without_a_version_document_fails(
    lab: Config, answer: VersionDocument | UnansweredError, detail: str
) -> None:
    answers = healthy(lab)
    (row,) = wrong(lab, dataclasses.replace(answers, endpoints={**answers.endpoints, "glance": answer}))
    assert (row.check, row.subject, row.detail) == ("endpoint", "glance", detail)
    assert row.hint.startswith("on controller1: journalctl -u glance-api.service")


def test_a_user_without_a_token_fails_and_the_catalog_of_the_other_is_looked_at(lab: Config) -> None:
    answers = healthy(lab)
    logins = {**answers.logins, "admin": UnansweredError("no token: HTTP 401")}
    (row,) = wrong(lab, dataclasses.replace(answers, logins=logins))
    assert (row.check, row.subject, row.detail) == ("token", "admin", "no token: HTTP 401")
    units = "journalctl -u keystone.service, journalctl -u keystone-token-keys.timer"
    assert row.hint == f"on controller1: {units}, /var/log/keystone/keystone.log"


def test_without_any_token_all_that_needs_one_fails_too() -> None:
    compact = stacks.load("compact")
    lost = UnansweredError("no token: …")
    answers = dataclasses.replace(
        healthy(compact),
        logins=dict.fromkeys(("admin", "myuser"), lost),
        image=lost,
        providers=lost,
        compute_services=lost,
        network_agents=lost,
        hypervisors=lost,
        instance=lost,
    )
    rows = wrong(compact, answers)
    assert [(row.check, row.subject, row.detail) for row in rows] == [
        ("token", "admin", "no token: …"),
        ("token", "myuser", "no token: …"),
        *(
            ("catalog", name, "no token, so no catalog")
            for name in ("keystone", "glance", "placement", "nova", "neutron")
        ),
        ("image", "cirros-0.5.1", "no token, so no image"),
        ("placement", "placement", "no token, so no resource provider"),
        ("compute service", "nova", "no token, so no compute service"),
        ("network agent", "neutron", "no token, so no network agent"),
        ("hypervisor", "hypervisors", "no token, so no hypervisor"),
        ("instance", "vm1", "no token, so no instance"),
    ]


Entry = dict[str, Any]


def _rename(entry: Entry) -> None:
    entry["type"] = "picture"


def _elsewhere(entry: Entry) -> None:
    for endpoint in entry["endpoints"]:
        endpoint["region"] = "RegionTwo"


def _no_admin(entry: Entry) -> None:
    entry["endpoints"] = [endpoint for endpoint in entry["endpoints"] if endpoint["interface"] != "admin"]


def _off_the_vip(entry: Entry) -> None:
    entry["endpoints"][1]["url"] = "http://172.16.0.101:9292"


@pytest.mark.parametrize(
    ("spoil", "detail"),
    [
        (_rename, "no service of type image in region RegionOne"),
        (_elsewhere, "no service of type image in region RegionOne"),
        (_no_admin, "admin is missing, not http://openstack-vip.magedu.local:9292"),
        (_off_the_vip, "internal is http://172.16.0.101:9292, not http://openstack-vip.magedu.local:9292"),
    ],
)
def test_a_catalog_that_lacks_something_fails(lab: Config, spoil: Callable[[Entry], None], detail: str) -> None:
    answers = healthy(lab)
    admin = answers.logins["admin"]
    assert isinstance(admin, Login)
    catalog: list[Entry] = json.loads(json.dumps(admin.catalog))
    spoil(next(entry for entry in catalog if entry["type"] == "image"))
    logins = {**answers.logins, "admin": dataclasses.replace(admin, catalog=catalog)}
    (row,) = wrong(lab, dataclasses.replace(answers, logins=logins))
    assert (row.check, row.subject, row.detail) == ("catalog", "glance", detail)


@pytest.mark.parametrize(
    ("found", "detail"),
    [
        (ImageFound(status="queued", size=0, sha256=None), "queued, not active"),
        (
            ImageFound(status="active", size=15_204_352, sha256="cd" * 32),
            "Glance delivers other bytes (sha256 cdcdcdcdcdcd…) than {image} has (abababababab…)",
        ),
        (UnansweredError("0 public images of the name cirros-0.5.1"), "0 public images of the name cirros-0.5.1"),
    ],
)
def test_an_image_that_is_not_the_uploaded_one_fails(
    lab: Config, found: ImageFound | UnansweredError, detail: str
) -> None:
    (row,) = wrong(lab, dataclasses.replace(healthy(lab), image=found))
    assert (row.check, row.subject) == ("image", "cirros-0.5.1")
    assert row.detail == detail.format(image=lab.hypervisor.image)
    assert row.hint == "on controller1: journalctl -u glance-api.service, /var/log/glance/glance-api.log"


NOVA_HINT = "on controller1: journalctl -u nova-conductor.service, journalctl -u nova-scheduler.service"
COMPUTE_HINT = "journalctl -u nova-compute.service, /var/log/nova/nova-compute.log"
NODE1, NODE2 = "openstack-node1.magedu.local", "openstack-node2.magedu.local"


def test_a_healthy_compute_node_shows_its_inventory(lab: Config) -> None:
    (row,) = (row for row in checks.rows(lab, healthy(lab)) if (row.check, row.subject) == ("placement", "node1"))
    assert row.detail == "VCPU 1, MEMORY_MB 1960 MiB, DISK_GB 19 GiB"


@pytest.mark.parametrize(
    ("providers", "subject", "detail", "hint"),
    [
        ([], "node2", "no resource provider of its name", f"on node2: journalctl -u libvirtd.service, {COMPUTE_HINT}"),
        (
            [Provider(name=NODE2, totals={"VCPU": 1, "DISK_GB": 0})],
            "node2",
            "no MEMORY_MB, DISK_GB in its inventory",
            f"on node2: journalctl -u libvirtd.service, {COMPUTE_HINT}",
        ),
        (
            [
                Provider(name=NODE2, totals={"VCPU": 1, "MEMORY_MB": 1960, "DISK_GB": 19}),
                Provider(name="node3", totals={}),
            ],
            "node3",
            "a resource provider that the stack does not have",
            "openstack resource provider delete, as admin",
        ),
    ],
)
def test_placement_has_the_compute_nodes_and_no_other(
    lab: Config, providers: list[Provider], subject: str, detail: str, hint: str
) -> None:
    first = Provider(name=NODE1, totals={"VCPU": 1, "MEMORY_MB": 1960, "DISK_GB": 19})
    (row,) = wrong(lab, dataclasses.replace(healthy(lab), providers=[first, *providers]))
    assert (row.check, row.subject, row.detail, row.hint) == ("placement", subject, detail, hint)


def test_a_placement_that_does_not_answer_fails_once(lab: Config) -> None:
    (row,) = wrong(lab, dataclasses.replace(healthy(lab), providers=UnansweredError("Placement: HTTP 503")))
    assert (row.check, row.subject, row.detail) == ("placement", "placement", "Placement: HTTP 503")
    assert row.hint == "on controller1: journalctl -u placement-api.service, /var/log/placement/placement-api.log"


def with_daemons(config: Config, change: Callable[[Daemon], list[Daemon]]) -> Answers:
    """A healthy lab, but for what the APIs list of compute services and network agents."""
    answers = healthy(config)
    assert not isinstance(answers.compute_services, UnansweredError)
    assert not isinstance(answers.network_agents, UnansweredError)
    return dataclasses.replace(
        answers,
        compute_services=[new for daemon in answers.compute_services for new in change(daemon)],
        network_agents=[new for daemon in answers.network_agents for new in change(daemon)],
    )


def test_compute_services_and_agents_that_are_down_disabled_or_missing_fail_with_their_node(lab: Config) -> None:
    def change(daemon: Daemon) -> list[Daemon]:
        match daemon.binary, daemon.host:
            case "nova-scheduler", _:
                return [dataclasses.replace(daemon, up=False, enabled=False)]
            case "nova-compute", host if host == NODE2:
                return [dataclasses.replace(daemon, enabled=False)]
            case "neutron-linuxbridge-agent", host if host == NODE1:
                return []
            case "neutron-dhcp-agent", _:
                return [dataclasses.replace(daemon, up=False)]
        return [daemon]

    rows = wrong(lab, with_daemons(lab, change))
    assert [(row.check, row.subject, row.detail) for row in rows] == [
        ("compute service", "nova-scheduler", "controller1: down and disabled"),
        ("compute service", "nova-compute", "node2: disabled"),
        ("network agent", "neutron-linuxbridge-agent", "node1: missing"),
        ("network agent", "neutron-dhcp-agent", "controller1: down"),
    ]
    assert rows[0].hint.startswith(NOVA_HINT)
    assert rows[1].hint == f"on node2: journalctl -u libvirtd.service, {COMPUTE_HINT}"
    assert rows[2].hint == (
        "on node1: journalctl -u neutron-linuxbridge-agent.service, /var/log/neutron/neutron-linuxbridge-agent.log"
    )
    assert rows[3].hint == (
        "on controller1: journalctl -u neutron-dhcp-agent.service, /var/log/neutron/neutron-dhcp-agent.log"
    )


def test_what_a_node_left_behind_fails(lab: Config) -> None:
    def change(daemon: Daemon) -> list[Daemon]:
        left = dataclasses.replace(daemon, host="node3", up=False)
        return [daemon, left] if daemon.host == NODE1 else [daemon]

    rows = wrong(lab, with_daemons(lab, change))
    assert [(row.subject, row.detail, row.hint) for row in rows] == [
        (
            "nova-compute on node3",
            "a compute service that the stack does not have",
            "openstack compute service delete, as admin",
        ),
        (
            "neutron-linuxbridge-agent on node3",
            "a network agent that the stack does not have",
            "openstack network agent delete, as admin",
        ),
    ]


def test_apis_that_do_not_list_their_daemons_fail_once_each(lab: Config) -> None:
    answers = dataclasses.replace(
        healthy(lab), compute_services=UnansweredError("Nova: …"), network_agents=UnansweredError("Neutron: …")
    )
    assert [(row.check, row.subject, row.detail) for row in wrong(lab, answers)] == [
        ("compute service", "nova", "Nova: …"),
        ("network agent", "neutron", "Neutron: …"),
    ]


def test_healthy_hypervisors_show_their_totals(lab: Config) -> None:
    (row,) = (row for row in checks.rows(lab, healthy(lab)) if row.check == "hypervisor")
    assert row.detail == "2: 2 vCPUs, 3920 MiB, 38 GiB in all; 1 running instances"


def hypervisor(host: str, *, up: bool = True, enabled: bool = True) -> Hypervisor:
    """One of a healthy lab."""
    return Hypervisor(host=host, up=up, enabled=enabled, vcpus=1, memory=1960, disk=19, instances=0)


@pytest.mark.parametrize(
    ("hypervisors", "detail"),
    [
        ([hypervisor(NODE1)], "node2: missing: not reported, or not mapped to a cell"),
        ([hypervisor(NODE1, up=False), hypervisor(NODE2)], "node1: down, enabled"),
        ([hypervisor(NODE1), hypervisor(NODE2), hypervisor("node3")], "node3: not a compute node of the stack"),
        (UnansweredError("Nova: HTTP 500"), "Nova: HTTP 500"),
    ],
)
def test_hypervisors_that_are_not_the_compute_nodes_fail(
    lab: Config, hypervisors: Sequence[Hypervisor] | UnansweredError, detail: str
) -> None:
    (row,) = wrong(lab, dataclasses.replace(healthy(lab), hypervisors=hypervisors))
    assert (row.check, row.subject, row.detail) == ("hypervisor", "hypervisors", detail)


@pytest.mark.parametrize(
    ("cells", "subject", "detail"),
    [
        ({"cell1": [NODE1, NODE2]}, "cell0", "not mapped, or disabled"),
        ({"cell0": [], "cell1": [NODE1]}, "cell1", "node2 is not mapped"),
        ({"cell0": [NODE2], "cell1": [NODE1, NODE2]}, "cell0", f"{NODE2} is mapped"),
        ({"cell0": [], "cell1": [NODE1, NODE2, "node3"]}, "cell1", "node3 is mapped"),
        ({"cell0": [], "cell1": [NODE1, NODE2], "cell2": []}, "cell2", "a cell that the stack does not have"),
        (UnansweredError("SSH to 172.16.0.101: timed out"), "cells", "SSH to 172.16.0.101: timed out"),
    ],
)
def test_cells_hold_the_compute_nodes_and_nothing_else(
    lab: Config, cells: Mapping[str, Sequence[str]] | UnansweredError, subject: str, detail: str
) -> None:
    (row,) = wrong(lab, dataclasses.replace(healthy(lab), cells=cells))
    assert (row.check, row.subject, row.detail) == ("cell", subject, detail)
    assert row.hint


def test_an_upgrade_check_with_warnings_is_right_and_shows_them(lab: Config) -> None:
    told = UpgradeChecks(
        status=1,
        results=(
            UpgradeCheck(name="Cells v2", result="Success", details=""),
            UpgradeCheck(name="Cinder API", result="Warning", details="no cinder"),
        ),
    )
    answers = healthy(lab)
    answers = dataclasses.replace(answers, upgrades={**answers.upgrades, "nova": told})
    assert wrong(lab, answers) == []
    (row,) = (row for row in checks.rows(lab, answers) if (row.check, row.subject) == ("upgrade check", "nova"))
    assert row.detail == "1 of 2 checks passed\nWarning: Cinder API: no cinder"


@pytest.mark.parametrize(
    ("told", "detail"),
    [
        (
            UpgradeChecks(
                status=2,
                results=(UpgradeCheck(name="Placement API", result="Failure", details="too old"),),
            ),
            "0 of 1 checks passed\nFailure: Placement API: too old",
        ),
        (UnansweredError("exit status 255: Error"), "exit status 255: Error"),
    ],
)
def test_an_upgrade_check_that_fails_fails(lab: Config, told: UpgradeChecks | UnansweredError, detail: str) -> None:
    answers = healthy(lab)
    (row,) = wrong(lab, dataclasses.replace(answers, upgrades={**answers.upgrades, "nova": told}))
    assert (row.check, row.subject, row.detail) == ("upgrade check", "nova", detail)
    assert row.hint == "on controller1: runuser -u nova -- nova-status upgrade check"


@pytest.mark.parametrize(
    ("visit", "detail"),
    [
        (
            Visit(path="/dashboard/auth/login/", user="", seconds=3.25),
            "/dashboard/auth/login/ shows nobody as logged in, 3.2 s from the form on",
        ),
        (
            Visit(path="/dashboard/settings/", user="admin", seconds=3.25),
            "/dashboard/settings/ shows admin as logged in, 3.2 s from the form on",
        ),
        (UnansweredError("http://…/auth/login/: HTTP 500"), "http://…/auth/login/: HTTP 500"),
    ],
)
def test_a_dashboard_that_does_not_let_a_user_in_fails(
    lab: Config, visit: Visit | UnansweredError, detail: str
) -> None:
    answers = healthy(lab)
    (row,) = wrong(lab, dataclasses.replace(answers, dashboard={**answers.dashboard, "myuser": visit}))
    assert (row.check, row.subject, row.detail) == ("dashboard", "myuser", detail)
    assert row.hint == "on controller1: journalctl -u apache2.service, /var/log/apache2/error.log"


@pytest.mark.parametrize(
    ("page", "detail"),
    [
        (
            Page(status=404, seconds=0.25, title=""),
            "HTTP 404 in 0.2 s from http://openstack-vip.magedu.local:6080/vnc_lite.html",
        ),
        (
            Page(status=200, seconds=0.25, title="It works!"),
            "HTTP 200 titled 'It works!' in 0.2 s from http://openstack-vip.magedu.local:6080/vnc_lite.html",
        ),
        (UnansweredError("http://…:6080: timed out"), "http://…:6080: timed out"),
    ],
)
def test_a_console_that_is_not_novnc_fails(lab: Config, page: Page | UnansweredError, detail: str) -> None:
    (row,) = wrong(lab, dataclasses.replace(healthy(lab), console=page))
    assert (row.check, row.subject, row.detail) == ("console", "noVNC", detail)
    assert row.hint.startswith(NOVA_HINT)


@pytest.mark.parametrize(
    ("found", "detail"),
    [
        (
            Instance(status="ACTIVE", addresses=("172.16.0.60",), fault=""),
            "ACTIVE with 172.16.0.60 (172.16.100.10–172.16.100.200 is the pool)",
        ),
        (
            Instance(status="ERROR", addresses=(), fault="No valid host was found."),
            "ERROR with no address (172.16.100.10–172.16.100.200 is the pool); No valid host was found.",
        ),
        (UnansweredError("0 servers of the name vm1"), "0 servers of the name vm1"),
    ],
)
def test_an_instance_that_does_not_run_with_an_address_of_the_pool_fails(
    found: Instance | UnansweredError, detail: str
) -> None:
    compact = stacks.load("compact")
    (row,) = wrong(compact, dataclasses.replace(healthy(compact), instance=found))
    assert (row.check, row.subject, row.detail) == ("instance", "vm1", detail)
    assert row.hint == f"on node1: journalctl -u libvirtd.service, {COMPUTE_HINT}"


@pytest.mark.parametrize(
    ("found", "repairs"),
    [
        (MissingError("0 servers of the name vm1"), ("vm1",)),
        (Instance(status="ERROR", addresses=(), fault="Failed to resume instance."), ()),
        (Instance(status="SHUTOFF", addresses=("172.16.100.60",), fault=""), ()),
        (UnansweredError("Nova: HTTP 503"), ()),
    ],
    ids=["deleted", "in error, perhaps with its disk", "stopped", "unknown"],
)
def test_an_instance_that_is_gone_is_made_anew_by_a_repair(
    found: Instance | UnansweredError, repairs: tuple[str, ...]
) -> None:
    compact = stacks.load("compact")
    (row,) = wrong(compact, dataclasses.replace(healthy(compact), instance=found))
    assert row.repairs == repairs


@pytest.fixture
def asked(lab: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`main` as it runs, but for the lab: the answers are those given, one after the other; the last one stays."""

    def answer(*answers: Answers) -> None:
        ahead = list(answers)

        def everything(config: Config, _clients: Path, _earlier: Answers | None) -> Answers:
            assert config is lab
            return ahead.pop(0) if len(ahead) > 1 else ahead[0]

        monkeypatch.setattr(stack_values, "complete", {"lab": lab}.__getitem__)
        monkeypatch.setattr(ask, "everything", everything)
        monkeypatch.setattr(ask, "silent", lambda _: [])
        monkeypatch.setattr(verify, "PAUSE", 0)

    return answer


def test_verify_prints_a_table_and_succeeds(
    lab: Config, asked: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    asked(healthy(lab))
    assert verify.main([]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"│ image +│ cirros-0.5.1 +│ ok +│ public, active, 14.5 MiB", printed)
    assert re.search(rf"{len(checks.rows(lab, healthy(lab)))} right, 0 wrong in \d+\.\d s\n$", printed)


def test_verify_prints_what_is_wrong_and_where_to_look_and_fails(
    lab: Config, asked: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    asked(with_server(healthy(lab), "glance-api-9292", status="DOWN", check="L4CON", seconds="42"))
    assert verify.main(["--stack", "lab"]) == 1
    printed = capsys.readouterr().out
    assert "controller1: DOWN for 42 s (L4CON)" in printed
    assert "look: on controller1: journalctl -u glance-api.service" in printed
    assert f"{len(checks.rows(lab, healthy(lab))) - 1} right, 1 wrong" in printed


def test_verify_prints_json(lab: Config, asked: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    asked(with_node(healthy(lab), "haproxy1", holds_vip=False))
    assert verify.main(["--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["stack"], found["ok"], len(found["rows"])) == ("lab", False, len(checks.rows(lab, healthy(lab))))
    assert [row for row in found["rows"] if not row["ok"]] == [
        {
            "check": "VIP",
            "subject": "172.16.0.248",
            "ok": False,
            "detail": "held by no node",
            "hint": "on haproxy1: journalctl -u keepalived.service",
            "repairs": [],
            "lasts": False,
        }
    ]


def test_verify_asks_again_while_a_lab_comes_back(
    lab: Config, asked: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """As when a machine was started a minute ago."""
    booting = with_node(healthy(lab), "haproxy1", holds_vip=False)
    asked(booting, booting, healthy(lab))
    assert verify.main(["--patience", "60"]) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(
        r"(    1 wrong after 0 s, asked again for 60 s at the most: VIP 172\.16\.0\.248\n){2}", printed.err
    )
    assert "0 wrong in" in printed.out


def test_verify_waits_for_the_apis_before_it_asks_everything_again(
    lab: Config,
    asked: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A lab that boots needs its processors itself."""
    asked(with_node(healthy(lab), "haproxy1", holds_vip=False), healthy(lab))
    ahead = [["keystone", "nova"], ["nova"], []]
    monkeypatch.setattr(ask, "silent", lambda _: ahead.pop(0))
    assert verify.main(["--patience", "60"]) == 0
    assert capsys.readouterr().err.splitlines()[1:] == [
        "    no answer after 0 s: keystone, nova",
        "    no answer after 0 s: nova",
    ]


@pytest.mark.parametrize(
    ("patience", "change"),
    [
        ("0", {"holds_vip": False}),
        ("60", {"holds_vip": False, "absent": ("haproxy",)}),
        ("60", {"holds_vip": False, "free": 0}),
    ],
    ids=["no patience", "somebody's hand", "disk full"],
)
def test_verify_does_not_ask_again_in_vain(
    lab: Config, asked: Callable[..., None], patience: str, change: dict[str, Any]
) -> None:
    asked(with_node(healthy(lab), "haproxy1", **change), healthy(lab))
    assert verify.main(["--patience", patience]) == 1


def test_verify_takes_the_instance_test_in_when_asked_to(
    lab: Config,
    asked: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked(healthy(lab))
    found = [
        Finding(subject="boot", ok=True, detail="ACTIVE", hint="nowhere"),
        Finding(subject="ping", ok=False, detail="no answer to ping", hint="on node1: its journal"),
    ]
    monkeypatch.setattr(instance, "run", lambda _config, _clients: found)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert verify.main(["--instance", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["check"], row["subject"], row["ok"], row["hint"]) for row in rows[-2:]] == [
        ("instance test", "boot", True, ""),
        ("instance test", "ping", False, "on node1: its journal"),
    ]
