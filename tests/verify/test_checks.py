"""The checks on answers made by hand: all right for a healthy lab, and for each fault exactly the rows that name it."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.session import Session

from components import services
from components.config import Config
from components.releases.zed_debian12 import ZED_DEBIAN12
from components.services.model import Endpoint, Listener, Packaging, Service
from components.topology import Role
from tests import stacks
from tools import stack_values, verify
from tools.verify import ask, checks
from tools.verify.model import (
    Answers,
    Clock,
    HttpAnswer,
    ImageFound,
    Login,
    NodeReport,
    Row,
    Server,
    UnansweredError,
    UnitState,
)

RUNNING = UnitState("active", "running", "enabled")
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
    return Answers(
        nodes={
            node.name: NodeReport(
                holds_vip=node == balancer,
                clock=IN_SYNC,
                units=dict.fromkeys(ask.units_of(site, node), RUNNING),
            )
            for node in site.topology.nodes
        },
        servers=tuple(
            Server(
                listener=f"{listener.name}-{listener.port}",
                name=str(node.address),
                status="UP",
                check="L4OK",
                seconds="60",
            )
            for service in site.catalogue
            for listener in service.listeners
            for node in service.nodes(site.topology)
        ),
        endpoints={service.name: HttpAnswer(status=300, seconds=0.2) for service in site.catalogue if service.endpoint},
        logins={
            "admin": Login(session=Session(), project="admin", roles=("admin",), catalog=catalog),
            "myuser": Login(session=Session(), project="myproject", roles=("myrole",), catalog=catalog),
        },
        image=ImageFound(status="active", size=15_204_352, sha256=DIGEST),
        image_sha256=DIGEST,
    )


@pytest.fixture(params=stacks.STACKS)
def config(request: pytest.FixtureRequest) -> Config:
    """Both stacks: five machines, and every role on two."""
    return stacks.load(request.param)


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
    subjects: dict[str, list[str]] = {}
    for row in checks.rows(lab, healthy(lab)):
        subjects.setdefault(row.check, []).append(row.subject)
    nodes = ["controller1", "mysql-master", "haproxy1", "node1", "node2"]
    assert subjects == {
        "node": nodes,
        "time": nodes,
        "units": ["time", "mariadb", "rabbitmq", "memcached", "haproxy", "keepalived", "keystone", "glance"],
        "VIP": ["172.16.0.248"],
        "HAProxy": ["mysql-3306", "rabbitmq-5672", "memcached-11211", "keystone-api-5000", "glance-api-9292"],
        "endpoint": ["keystone", "glance"],
        "token": ["admin", "myuser"],
        "catalog": ["keystone", "glance"],
        "image": ["cirros-0.5.1"],
    }


def test_a_service_that_joins_the_catalogue_is_covered_without_a_change(lab: Config) -> None:
    placement = Service(
        name="placement",
        role=Role.CONTROLLER,
        listeners=(Listener(name="placement-api", port=8778),),
        endpoint=Endpoint(type="placement", description="Placement", port=8778),
    )
    release = dataclasses.replace(
        ZED_DEBIAN12, packaging={**ZED_DEBIAN12.packaging, "placement": Packaging(units=("placement-api.service",))}
    )
    site = dataclasses.replace(lab.site, catalogue=(*services.CATALOGUE, placement), release=release)
    wider = dataclasses.replace(lab, site=site)
    rows = checks.rows(wider, healthy(wider))
    assert [(row.check, row.subject) for row in rows if row.subject.startswith("placement")] == [
        ("units", "placement"),
        ("HAProxy", "placement-api-8778"),
        ("endpoint", "placement"),
        ("catalog", "placement"),
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
        ("units", "mariadb"),
        ("units", "rabbitmq"),
        ("units", "memcached"),
    ]
    assert rows[0].detail == "SSH to 172.16.0.103: timed out"
    assert rows[0].hint == "make status; virsh console openstack-mysql-master"
    assert rows[3].detail == "mysql-master: not reached by SSH"


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


def test_a_stopped_unit_fails_and_says_where_to_look(lab: Config) -> None:
    answers = healthy(lab)
    units = {
        "chrony.service": RUNNING,
        "keystone.service": RUNNING,
        "glance-api.service": UnitState("inactive", "dead", "enabled"),
    }
    (row,) = wrong(lab, with_node(answers, "controller1", units=units))
    assert (row.check, row.subject) == ("units", "glance")
    assert row.detail == "controller1: glance-api.service is inactive (dead)"
    assert row.hint == "on controller1: journalctl -u glance-api.service, /var/log/glance/glance-api.log"


def test_a_unit_that_would_not_start_at_boot_fails(lab: Config) -> None:
    units = {"chrony.service": RUNNING, "haproxy.service": UnitState("active", "running", "disabled")}
    rows = wrong(lab, with_node(healthy(lab), "haproxy1", units={**units, "keepalived.service": RUNNING}))
    assert [row.detail for row in rows] == ["haproxy1: haproxy.service does not start at boot (disabled)"]


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


def test_a_server_that_haproxy_does_not_know_fails(lab: Config) -> None:
    (row,) = wrong(lab, with_server(healthy(lab), "mysql-3306", name="172.16.0.99"))
    assert row.detail == "mysql-master: HAProxy has no such server"


def test_only_the_first_node_of_what_is_not_replicated_is_expected_behind_haproxy() -> None:
    nodes = {
        name: {key: value for key, value in node.items() if key != "enabled"}
        for name, node in stacks.values("lab")["nodes"].items()
    }
    both = stacks.load("lab", nodes=nodes)
    second = str(both.site.topology.having(Role.CONTROLLER)[1].address)
    answers = healthy(both)
    assert not isinstance(answers.servers, UnansweredError)
    servers = [server for server in answers.servers if server.name != second]
    rows = wrong(both, dataclasses.replace(answers, servers=servers))
    assert [(row.subject, row.detail) for row in rows] == [
        ("keystone-api-5000", "controller2: HAProxy has no such server")
    ]


def test_a_statistics_page_that_does_not_answer_fails_once(lab: Config) -> None:
    gone = UnansweredError("http://openstack-vip.magedu.local:9999/haproxy;csv: HTTP 401")
    (row,) = wrong(lab, dataclasses.replace(healthy(lab), servers=gone))
    assert (row.check, row.subject, row.detail) == ("HAProxy", "haproxy", str(gone))
    assert row.hint == "on haproxy1: journalctl -u haproxy.service"


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (
            HttpAnswer(status=503, seconds=1.25),
            "HTTP 503 in 1.2 s from http://openstack-vip.magedu.local:9292",
        ),
        (UnansweredError("http://…:9292: timed out"), "http://…:9292: timed out"),
    ],
)
def test_an_endpoint_that_does_not_answer_itself_fails(
    lab: Config, answer: HttpAnswer | UnansweredError, detail: str
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
    assert row.hint == "on controller1: journalctl -u keystone.service, /var/log/keystone/keystone.log"


def test_without_any_token_the_catalog_and_the_image_fail_too(lab: Config) -> None:
    answers = healthy(lab)
    lost = UnansweredError("no token: …")
    rows = wrong(lab, dataclasses.replace(answers, logins=dict.fromkeys(answers.logins, lost), image=lost))
    assert [(row.check, row.subject, row.detail) for row in rows] == [
        ("token", "admin", "no token: …"),
        ("token", "myuser", "no token: …"),
        ("catalog", "keystone", "no token, so no catalog"),
        ("catalog", "glance", "no token, so no catalog"),
        ("image", "cirros-0.5.1", "no token, so no image"),
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


@pytest.fixture
def asked(lab: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], None]:
    """`main` as it runs, but for the lab: the answers are those given."""

    def answer(answers: Answers) -> None:
        def everything(config: Config, _clients: Path) -> Answers:
            assert config is lab
            return answers

        monkeypatch.setattr(stack_values, "complete", {"lab": lab}.__getitem__)
        monkeypatch.setattr(ask, "everything", everything)

    return answer


def test_verify_prints_a_table_and_succeeds(
    lab: Config, asked: Callable[[Answers], None], capsys: pytest.CaptureFixture[str]
) -> None:
    asked(healthy(lab))
    assert verify.main([]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"│ image +│ cirros-0.5.1 +│ ok +│ public, active, 14.5 MiB", printed)
    assert re.search(r"31 right, 0 wrong in \d+\.\d s\n$", printed)


def test_verify_prints_what_is_wrong_and_where_to_look_and_fails(
    lab: Config, asked: Callable[[Answers], None], capsys: pytest.CaptureFixture[str]
) -> None:
    asked(with_server(healthy(lab), "glance-api-9292", status="DOWN", check="L4CON", seconds="42"))
    assert verify.main(["--stack", "lab"]) == 1
    printed = capsys.readouterr().out
    assert "controller1: DOWN for 42 s (L4CON)" in printed
    assert "look: on controller1: journalctl -u glance-api.service" in printed
    assert "30 right, 1 wrong" in printed


def test_verify_prints_json(lab: Config, asked: Callable[[Answers], None], capsys: pytest.CaptureFixture[str]) -> None:
    asked(with_node(healthy(lab), "haproxy1", holds_vip=False))
    assert verify.main(["--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["stack"], found["ok"], len(found["rows"])) == ("lab", False, 31)
    assert [row for row in found["rows"] if not row["ok"]] == [
        {
            "check": "VIP",
            "subject": "172.16.0.248",
            "ok": False,
            "detail": "held by no node",
            "hint": "on haproxy1: journalctl -u keepalived.service",
        }
    ]
