"""The questions, asked of real servers on loopback: good answers, bad answers, none at all."""

import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components import remote
from components.secrets import Secrets
from components.services.model import Service
from components.topology import Node
from tests import stacks
from tests.verify import servers
from tests.verify.keystone import PASSWORD, SERVICES, openrc, token
from tests.verify.servers import Answer, Web
from tools.verify import ask, cloud, dashboard, nodes, ssh, web
from tools.verify.cloud_checks import CHECKS
from tools.verify.model import (
    Clock,
    Daemon,
    FileState,
    Grant,
    Hypervisor,
    ImageFound,
    Instance,
    Login,
    MissingError,
    Page,
    Provider,
    Server,
    UnansweredError,
    UnitState,
    UpgradeCheck,
    UpgradeChecks,
    Visit,
)

pytestmark = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning")

NOTHING = hashlib.sha256(b"").hexdigest()
UNITS = ("chrony.service", "glance-api.service")
TOLD = """\
5: br0    inet 172.16.0.248/16 scope global secondary br0
---
  17068
---
AC100065,172.16.0.101,11,1763900000.123456789,-0.000012,0.000021,0.000033,-1.2,0.001,0.02,0.0004,0.0005,64.3,Normal
---
root:root 0644 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 /etc/hosts
---
glance-api
---
ActiveState=active
SubState=running
UnitFileState=enabled

ActiveState=failed
SubState=failed
UnitFileState=disabled
"""


@pytest.fixture
def site() -> Iterator[Web]:
    """An HTTP server."""
    with servers.web() as served:
        yield served


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long here; and a proxy in the environment, since no question may go through one."""
    monkeypatch.setattr(web, "SECONDS", 1)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{servers.closed()}")


# Nodes


def test_a_node_tells_its_address_clock_and_units() -> None:
    told = nodes.read_report(TOLD, UNITS)
    assert told.holds_vip
    assert told.free == 17068
    assert told.clock == Clock(offset=-0.000012, leap="Normal", stratum=11, source="172.16.0.101")
    assert told.units == {
        "chrony.service": UnitState("active", "running", "enabled"),
        "glance-api.service": UnitState("failed", "failed", "disabled"),
    }
    assert told.files == {"/etc/hosts": FileState(owner="root:root", mode="0644", sha256=NOTHING)}
    assert told.absent == ("glance-api",)


def test_what_a_node_has_is_told_by_its_own_programs(tmp_path: Path) -> None:
    """Files that are not there are left out; so are packages that are installed."""
    there = tmp_path / "hosts"
    there.write_text("")
    there.chmod(0o640)
    library = Path(remote.__file__).with_name("lib.sh")
    script = nodes.holdings_script(
        [str(there), str(tmp_path / "gone")], f". {library}", "absent_debian bash no-such-one"
    )
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, input="").stdout
    owner = f"{there.owner()}:{there.group()}"
    assert said.splitlines() == [f"{owner} 0640 {NOTHING} {there}", "---", "no-such-one"]


def test_a_node_without_the_virtual_address_says_nothing_about_it() -> None:
    assert not nodes.read_report(TOLD[TOLD.index("---") :], UNITS).holds_vip


def test_a_node_whose_clock_is_not_kept_says_why() -> None:
    lines = TOLD.splitlines(keepends=True)
    told = nodes.read_report("".join([*lines[:4], "506 Cannot talk to daemon\n", *lines[5:]]), UNITS)
    assert isinstance(told.clock, UnansweredError)
    assert str(told.clock) == "clock: 506 Cannot talk to daemon"


@pytest.mark.parametrize(
    "output", ["", "Permission denied\n", TOLD + "\nActiveState=active\n", TOLD.replace("17068", "")]
)
def test_a_node_that_tells_something_else_is_not_understood(output: str) -> None:
    with pytest.raises(UnansweredError, match="not understood"):
        nodes.read_report(output, UNITS)


def test_the_units_of_a_node_follow_its_roles() -> None:
    lab = stacks.load("compact").site
    controller, compute = lab.topology.nodes
    assert nodes.units_of(lab, compute) == (
        "chrony.service",
        "nftables.service",
        "neutron-linuxbridge-agent.service",
        "libvirtd.service",
        "nova-compute.service",
    )
    assert nodes.units_of(lab, controller)[0] == "chrony.service"
    assert nodes.units_of(lab, controller)[-1] == "apache2.service"
    assert "nova-compute.service" not in nodes.units_of(lab, controller)
    assert set(nodes.every_unit(lab)) == {unit for node in lab.topology.nodes for unit in nodes.units_of(lab, node)}


CELLS = "cell0\tNULL\ncell1\topenstack-node1.magedu.local\ncell1\topenstack-node2.magedu.local\n"


def test_a_controller_tells_the_cells_and_their_hosts() -> None:
    assert nodes.read_cells(CELLS) == {
        "cell0": [],
        "cell1": ["openstack-node1.magedu.local", "openstack-node2.magedu.local"],
    }
    assert nodes.read_cells("") == {}


NOVA_CONF = f"""\
[DEFAULT]
connection = wrong://not:this@one/here
[api_database]
connection = mysql+pymysql://nova:{PASSWORD}@vip.example/nova_api?charset=utf8

[database]
connection = wrong://nor:this@one/there
"""


def test_the_cells_are_asked_for_with_the_node_s_own_password_unseen(tmp_path: Path) -> None:
    """The script, in a shell as on a node, with a client in place of MariaDB's that shows what it was given."""
    (tmp_path / "nova.conf").write_text(NOVA_CONF)
    client = tmp_path / "mysql"
    client.write_text('#!/bin/bash\nprintf "%s\\n" "$MYSQL_PWD" "${@:1:7}"\n')
    client.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", nodes.cells_script(str(tmp_path / "nova.conf"))],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        PASSWORD,
        *("--batch", "--skip-column-names", "-u", "nova", "-h", "vip.example", "nova_api"),
    ]


CHECKED = """\
1
/usr/lib/python3/dist-packages/some.py:1: a library's warning
+----------------------------------------------------+
| Upgrade Check Results                              |
+----------------------------------------------------+
| Check: Cells v2                                    |
| Result: Success                                    |
| Details: None                                      |
+----------------------------------------------------+
| Check: Policy File JSON to YAML Migration          |
| Result: Warning                                    |
| Details: Your policy file is JSON - see: the-long- |
|   name-of-a-page                                   |
|   or another one                                   |
+----------------------------------------------------+
"""


def test_an_upgrade_check_tells_its_results_among_whatever_else_is_said() -> None:
    assert nodes.read_upgrade(CHECKED) == UpgradeChecks(
        status=1,
        results=(
            UpgradeCheck(name="Cells v2", result="Success", details=""),
            UpgradeCheck(
                name="Policy File JSON to YAML Migration",
                result="Warning",
                details="Your policy file is JSON - see: the-long-name-of-a-page or another one",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ("255\nError:\nTraceback …\nOperationalError: no route\n", "exit status 255: Error: Traceback … OperationalE"),
        ("124\n", "exit status 124: it said nothing"),
    ],
)
def test_an_upgrade_check_that_breaks_off_tells_why(said: str, detail: str) -> None:
    with pytest.raises(UnansweredError) as told:
        nodes.read_upgrade(said)
    assert str(told.value).startswith(detail)


# SSH

SECRETS = stacks.load("lab").secrets
NODES = stacks.load("lab").site.topology.nodes
LOGIN = remote.login_key_pair(SECRETS)
HOST = remote.host_key_pair(NODES[0], SECRETS)
OTHER = remote.host_key_pair(NODES[1], SECRETS)


def test_a_script_runs_with_the_lab_s_keys() -> None:
    with servers.ssh(HOST, LOGIN, output=TOLD) as port:
        assert ssh.run("127.0.0.1", "script", login=LOGIN, host=HOST, seconds=5, port=port) == TOLD


def test_a_machine_with_another_host_key_is_refused() -> None:
    with (
        servers.ssh(OTHER, LOGIN, output=TOLD) as port,
        pytest.raises(UnansweredError, match="host key is not the one that the lab gave it"),
    ):
        ssh.run("127.0.0.1", "script", login=LOGIN, host=HOST, seconds=5, port=port)


def test_a_machine_that_refuses_the_operator_s_key_is_told() -> None:
    with (
        servers.ssh(HOST, OTHER, output=TOLD) as port,
        pytest.raises(UnansweredError, match=r"^SSH to 127\.0\.0\.1: Permission denied"),
    ):
        ssh.run("127.0.0.1", "script", login=LOGIN, host=HOST, seconds=5, port=port)


def test_a_failing_script_is_told_with_its_last_words() -> None:
    with (
        servers.ssh(HOST, LOGIN, output="bash: chronyc: not found\n", status=127) as port,
        pytest.raises(UnansweredError, match=r"exit status 127: bash: chronyc: not found$"),
    ):
        ssh.run("127.0.0.1", "script", login=LOGIN, host=HOST, seconds=5, port=port)


def test_what_a_broken_connection_brought_is_no_answer() -> None:
    with (
        servers.ssh(HOST, LOGIN, output="half of the tru", status=None) as port,
        pytest.raises(UnansweredError, match=r"^SSH to 127\.0\.0\.1: the connection broke off$"),
    ):
        ssh.fetch("127.0.0.1", "script", login=LOGIN, host=HOST, seconds=5, port=port)


def test_a_script_that_does_not_end_is_given_up() -> None:
    with (
        servers.ssh(HOST, LOGIN, delay=3) as port,
        pytest.raises(UnansweredError, match=r"^SSH to 127\.0\.0\.1: timed out$"),
    ):
        ssh.run("127.0.0.1", "script", login=LOGIN, host=HOST, seconds=1, port=port)


def test_a_machine_that_takes_the_connection_and_keeps_silent_is_given_up() -> None:
    with servers.silent() as port, pytest.raises(UnansweredError, match=r"^SSH to 127\.0\.0\.1: timed out$"):
        ssh.run("127.0.0.1", "script", login=LOGIN, host=HOST, seconds=1, port=port)


def test_a_machine_that_is_not_there_is_told() -> None:
    with pytest.raises(UnansweredError, match=r"^SSH to 127\.0\.0\.1: .*Connection refused"):
        ssh.run("127.0.0.1", "script", login=LOGIN, host=HOST, seconds=1, port=servers.closed())


# Endpoints


@pytest.mark.parametrize("status", [200, 300, 401, 503])
def test_an_endpoint_s_answer_is_its_status_and_the_versions_that_it_names(site: Web, status: int) -> None:
    site.answers["GET /v3/"] = Answer(status, {"version": {"id": "v3.14"}}, {"Location": "http://127.0.0.1:1/"})
    answer = ask.endpoint(f"{site.url}/v3/")
    assert (answer.status, answer.versions) == (status, ("v3.14",))
    assert 0 < answer.seconds < 1


@pytest.mark.parametrize(
    ("body", "versions"),
    [
        ({"versions": [{"id": "v2.15", "status": "CURRENT"}, {"id": "v2.9"}]}, ("v2.15", "v2.9")),
        ({"version": {"id": "v2.1", "version": "2.93"}}, ("v2.1",)),
        ({"versions": []}, ()),
        ({"message": "no"}, ()),
        (["v3"], ()),
        ("<html>It works!</html>", ()),
        (b"\xff\xfe", ()),
    ],
)
def test_versions_are_found_where_a_version_document_has_them(body: object, versions: tuple[str, ...]) -> None:
    text = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    assert ask.versions(text) == versions


def test_an_endpoint_that_nobody_listens_at_is_told() -> None:
    url = f"http://127.0.0.1:{servers.closed()}"
    with pytest.raises(UnansweredError, match=f"^{url}: .*Connection refused"):
        ask.endpoint(url)


def test_an_endpoint_that_keeps_silent_is_given_up() -> None:
    with servers.silent() as port, pytest.raises(UnansweredError, match="timed out"):
        ask.endpoint(f"http://127.0.0.1:{port}", seconds=1)


# HAProxy

STATISTICS = """\
# pxname,svname,qcur,status,check_status,lastchg,
stats,FRONTEND,,OPEN,,,
glance-api-9292,FRONTEND,,OPEN,,,
glance-api-9292,172.16.0.101,0,DOWN,L4CON,42,
glance-api-9292,BACKEND,0,DOWN,,42,
keystone-api-5000,172.16.0.101,0,UP,L4OK,600,
"""


def test_haproxy_tells_its_servers_to_whom_knows_the_password(site: Web) -> None:
    site.answers["GET /haproxy;csv"] = Answer(200, STATISTICS)
    assert ask.statistics(f"{site.url}/haproxy", PASSWORD) == (
        Server(listener="glance-api-9292", name="172.16.0.101", status="DOWN", check="L4CON", seconds="42"),
        Server(listener="keystone-api-5000", name="172.16.0.101", status="UP", check="L4OK", seconds="600"),
    )
    assert site.requests[0].headers["Authorization"] == "Basic aGFhZG1pbjpub3QtdG8tYmUtc2Vlbi1hbnl3aGVyZQ=="


def test_a_statistics_page_behind_another_password_is_told_without_ours(site: Web) -> None:
    site.answers["GET /haproxy;csv"] = Answer(401)
    with pytest.raises(UnansweredError) as told:
        ask.statistics(f"{site.url}/haproxy", PASSWORD)
    assert str(told.value) == f"{site.url}/haproxy;csv: HTTP 401"


# Keystone


def test_the_client_file_s_user_gets_a_token_for_its_project(site: Web, tmp_path: Path) -> None:
    site.answers["POST /v3/auth/tokens"] = token(site)
    login = cloud.login(openrc(tmp_path, site.url))
    assert (login.project, login.roles) == ("myproject", ("myrole",))
    assert {entry["type"]: entry["endpoints"][0]["url"] for entry in login.catalog} == {
        kind: f"{site.url}/{kind}" for kind in SERVICES
    }
    assert PASSWORD in site.requests[0].body


def test_a_wrong_password_is_told_without_showing_it(site: Web, tmp_path: Path) -> None:
    site.answers["POST /v3/auth/tokens"] = Answer(
        401, {"error": {"code": 401, "title": "Unauthorized", "message": "The request requires authentication."}}
    )
    with pytest.raises(UnansweredError, match=r"^no token: .*\(HTTP 401\)") as told:
        cloud.login(openrc(tmp_path, site.url))
    assert PASSWORD not in str(told.value)


def test_a_keystone_that_is_not_there_is_told(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{servers.closed()}"
    with pytest.raises(UnansweredError, match=f"^no token: Unable to establish connection to {url}/v3/auth/tokens$"):
        cloud.login(openrc(tmp_path, url))


def test_a_keystone_that_keeps_silent_is_given_up(tmp_path: Path) -> None:
    with servers.silent() as port, pytest.raises(UnansweredError, match=r"^no token: Request to .* timed out$"):
        cloud.login(openrc(tmp_path, f"http://127.0.0.1:{port}"))


def test_a_client_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnansweredError, match=r"admin-openrc: No such file or directory"):
        cloud.login(tmp_path / "admin-openrc")


# Glance

BYTES = b"not quite a qcow2 image" * 100_000


def glance(site: Web, *images: dict[str, object], content: bytes = BYTES) -> None:
    """Have the server play Keystone and Glance with these public images of one name."""
    version = {
        "id": "v2.15",
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{site.url}/image/v2/"}],
    }
    site.answers |= {
        "POST /v3/auth/tokens": token(site),
        "GET /image": Answer(300, {"versions": [version]}),
        "GET /image/": Answer(300, {"versions": [version]}),
        "GET /image/v2/images?name=cirros&visibility=public": Answer(200, {"images": list(images)}),
        "GET /image/v2/images/i": Answer(200, images[0] if images else {}),
        "GET /image/v2/images/i/file": Answer(200, content),
    }


CIRROS: dict[str, object] = {"id": "i", "name": "cirros", "size": len(BYTES), "visibility": "public"}


def test_the_public_image_is_found_and_downloaded(site: Web, tmp_path: Path) -> None:
    glance(site, {**CIRROS, "status": "active"})
    found = cloud.image(cloud.login(openrc(tmp_path, site.url)), "RegionOne", "cirros")
    assert found == ImageFound(status="active", size=len(BYTES), sha256=hashlib.sha256(BYTES).hexdigest())
    assert site.requests[-1].headers["X-Auth-Token"] == "gAAAA-token"


def test_an_image_that_was_never_uploaded_is_not_downloaded(site: Web, tmp_path: Path) -> None:
    glance(site, {**CIRROS, "status": "queued"})
    found = cloud.image(cloud.login(openrc(tmp_path, site.url)), "RegionOne", "cirros")
    assert (found.status, found.sha256) == ("queued", None)
    assert not any(request.line.endswith("/file") for request in site.requests)


@pytest.mark.parametrize("count", [0, 2])
def test_no_image_and_several_of_the_name_are_told(site: Web, tmp_path: Path, count: int) -> None:
    glance(site, *[{**CIRROS, "status": "active"}] * count)
    with pytest.raises(UnansweredError, match=f"^{count} public images of the name cirros$"):
        cloud.image(cloud.login(openrc(tmp_path, site.url)), "RegionOne", "cirros")


def test_a_glance_that_fails_is_told(site: Web, tmp_path: Path) -> None:
    glance(site)
    site.answers["GET /image/v2/images?name=cirros&visibility=public"] = Answer(503, "no")
    with pytest.raises(UnansweredError, match=r"^Glance: .*503"):
        cloud.image(cloud.login(openrc(tmp_path, site.url)), "RegionOne", "cirros")


def test_a_download_that_breaks_off_is_told(site: Web, tmp_path: Path) -> None:
    glance(site, {**CIRROS, "status": "active"})
    site.answers["GET /image/v2/images/i/file"] = Answer(200, BYTES, {"Content-Length": str(len(BYTES) + 1)})
    with pytest.raises(UnansweredError, match=r"^Glance: .*(IncompleteRead|Connection broken)"):
        cloud.image(cloud.login(openrc(tmp_path, site.url)), "RegionOne", "cirros")


def test_a_file_s_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(BYTES)
    assert ask.sha256(file) == hashlib.sha256(BYTES).hexdigest()


# Pages


def test_a_page_tells_its_title(site: Web) -> None:
    site.answers["GET /vnc_lite.html"] = Answer(200, "<!DOCTYPE html><head>\n<title>\n  noVNC </title></head>")
    page = ask.page(f"{site.url}/vnc_lite.html")
    assert isinstance(page, Page)
    assert (page.status, page.title) == (200, "noVNC")


def test_a_page_that_is_not_there_has_a_status_and_no_title(site: Web) -> None:
    page = ask.page(f"{site.url}/vnc_lite.html")
    assert (page.status, page.title) == (404, "")


# WebSockets

UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


def test_a_websocket_s_first_message_is_told(site: Web) -> None:
    site.answers["GET /?token=t"] = Answer(101, b"\x82\x0cRFB 003.008\nmore", {**UPGRADE, "Content-Length": "0"})
    assert web.websocket_greeting(f"{site.url}/?token=t", seconds=1) == b"RFB 003.008\n"
    assert site.requests[0].headers["Sec-WebSocket-Version"] == "13"


def test_a_refused_websocket_is_told_by_its_status(site: Web) -> None:
    with pytest.raises(ConnectionError, match=r"^HTTP 404 in place of a WebSocket$"):
        web.websocket_greeting(f"{site.url}/?token=t", seconds=1)


def test_a_websocket_that_ends_at_once_is_told(site: Web) -> None:
    site.answers["GET /"] = Answer(101, b"", {**UPGRADE, "Content-Length": "0"})
    with pytest.raises(ConnectionError, match="ended without a word"):
        web.websocket_greeting(site.url, seconds=1)


# Placement, Nova, Neutron


def cloud_of(site: Web, tmp_path: Path) -> Login:
    """Have the server play Keystone and the entries of all other services; log in."""
    compute = {"id": "v2.1", "status": "CURRENT", "version": "2.93", "min_version": "2.1"}
    placement = {"id": "v1.0", "status": "CURRENT", "max_version": "1.39", "min_version": "1.0"}
    network = {"id": "v2.0", "status": "CURRENT"}
    site.answers["POST /v3/auth/tokens"] = token(site)
    for kind, version in (("compute", compute), ("placement", placement), ("network", network)):
        path = f"/{kind}/v2.0/" if kind == "network" else f"/{kind}"
        entry = {**version, "links": [{"rel": "self", "href": f"{site.url}{path}"}]}
        document = {"version": entry} if kind == "compute" else {"versions": [entry]}
        site.answers |= {f"GET /{kind}": Answer(200, document), f"GET /{kind}/": Answer(200, document)}
    return cloud.login(openrc(tmp_path, site.url))


def test_placement_tells_what_each_compute_node_has(site: Web, tmp_path: Path) -> None:
    login = cloud_of(site, tmp_path)
    inventory = {"reserved": 0, "min_unit": 1, "max_unit": 2, "step_size": 1, "allocation_ratio": 4.0}
    totals = {"VCPU": 2, "MEMORY_MB": 1960, "DISK_GB": 19}
    site.answers |= {
        "GET /placement/resource_providers": Answer(200, {"resource_providers": [{"uuid": "u", "name": "node1"}]}),
        "GET /placement/resource_providers/u/inventories": Answer(
            200,
            {
                "resource_provider_generation": 3,
                "inventories": {kind: {**inventory, "total": total} for kind, total in totals.items()},
            },
        ),
    }
    assert cloud.providers(login, "RegionOne") == [Provider(name="node1", totals=totals)]


def test_nova_tells_its_services(site: Web, tmp_path: Path) -> None:
    login = cloud_of(site, tmp_path)
    listed = [
        {"id": "1", "binary": "nova-compute", "host": "node1", "state": "up", "status": "enabled"},
        {"id": "2", "binary": "nova-conductor", "host": "c1", "state": "down", "status": "disabled"},
    ]
    site.answers["GET /compute/os-services"] = Answer(200, {"services": listed})
    assert cloud.compute_services(login, "RegionOne") == [
        Daemon(binary="nova-compute", host="node1", up=True, enabled=True),
        Daemon(binary="nova-conductor", host="c1", up=False, enabled=False),
    ]


def test_neutron_tells_its_agents(site: Web, tmp_path: Path) -> None:
    login = cloud_of(site, tmp_path)
    agent = {"id": "1", "binary": "neutron-dhcp-agent", "host": "c1", "alive": False, "admin_state_up": True}
    site.answers["GET /network/v2.0/agents"] = Answer(200, {"agents": [agent]})
    assert cloud.network_agents(login, "RegionOne") == [
        Daemon(binary="neutron-dhcp-agent", host="c1", up=False, enabled=True)
    ]


def test_nova_tells_its_hypervisors_in_the_last_version_that_tells_their_sizes(site: Web, tmp_path: Path) -> None:
    login = cloud_of(site, tmp_path)
    listed = {
        "hypervisor_hostname": "node1",
        "state": "up",
        "status": "enabled",
        "vcpus": 2,
        "memory_mb": 1960,
        "local_gb": 19,
        "running_vms": 1,
    }
    site.answers["GET /compute/os-hypervisors/detail"] = Answer(200, {"hypervisors": [listed]})
    assert cloud.hypervisors(login, "RegionOne") == [
        Hypervisor(host="node1", up=True, enabled=True, vcpus=2, memory=1960, disk=19, instances=1)
    ]
    assert site.requests[-1].headers["OpenStack-API-Version"] == "compute 2.87"


def test_an_api_that_refuses_is_told(site: Web, tmp_path: Path) -> None:
    login = cloud_of(site, tmp_path)
    refusal = {"forbidden": {"message": "not for you", "code": 403}}
    site.answers["GET /compute/os-hypervisors/detail"] = Answer(403, refusal, {"Content-Type": "application/json"})
    with pytest.raises(UnansweredError, match=r"^Nova: .*403.*not for you"):
        cloud.hypervisors(login, "RegionOne")


SERVER = {
    "id": "s",
    "name": "vm1",
    "status": "ACTIVE",
    "addresses": {"provider": [{"addr": "172.16.100.50", "version": 4}, {"addr": "fe80::1", "version": 6}]},
}


def test_the_tenant_s_instance_is_described(site: Web, tmp_path: Path) -> None:
    login = cloud_of(site, tmp_path)
    site.answers["GET /compute/servers/detail?name=%5Evm1%24"] = Answer(200, {"servers": [SERVER]})
    assert cloud.instance(login, "RegionOne", "vm1") == Instance(
        status="ACTIVE", addresses=("172.16.100.50",), fault=""
    )


def test_an_instance_s_fault_is_told(site: Web, tmp_path: Path) -> None:
    login = cloud_of(site, tmp_path)
    failed = {**SERVER, "status": "ERROR", "addresses": {}, "fault": {"code": 500, "message": "No valid host"}}
    site.answers["GET /compute/servers/detail?name=%5Evm1%24"] = Answer(200, {"servers": [failed]})
    assert cloud.instance(login, "RegionOne", "vm1") == Instance(status="ERROR", addresses=(), fault="No valid host")


def test_a_missing_instance_is_told(site: Web, tmp_path: Path) -> None:
    login = cloud_of(site, tmp_path)
    site.answers["GET /compute/servers/detail?name=%5Evm1%24"] = Answer(200, {"servers": []})
    with pytest.raises(MissingError, match=r"^0 servers of the name vm1$"):
        cloud.instance(login, "RegionOne", "vm1")


# Grants


DATABASE = """\
#!/bin/sh
[ -S "$DATABASE" ] || { echo "ERROR 2002 (HY000): Can't connect to local server" >&2; exit 1; }
cat >"$0.asked"
cat <<'END'
GRANT USAGE ON *.* TO `nova`@`localhost` IDENTIFIED BY PASSWORD '*612644CABD42'
GRANT ALL PRIVILEGES ON `nova_api`.* TO `nova`@`localhost`
GRANT ALL PRIVILEGES ON `nova`.* TO 'nova'@'%'
GRANT SELECT ON `glance`.* TO `glance`@`%`
END
"""


def on_database(directory: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script where `mysql` answers as MariaDB does, old and new."""
    client = directory / "mysql"
    client.write_text(DATABASE)
    client.chmod(0o755)
    path = f"{directory}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_grants_are_whole_databases_and_no_hash_leaves_the_node(tmp_path: Path) -> None:
    """Every user is asked of in one session, at both places."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        done = on_database(tmp_path, nodes.grants_script(["nova", "glance"]), DATABASE=str(tmp_path / "s"))
    assert done.returncode == 0
    assert nodes.read_grants(done.stdout) == {Grant("nova", "localhost", "nova_api"), Grant("nova", "%", "nova")}
    assert "612644" not in done.stdout
    assert (tmp_path / "mysql.asked").read_text().splitlines() == [
        f"SHOW GRANTS FOR '{user}'@'{place}';" for user in ("nova", "glance") for place in ("localhost", "%")
    ]


def test_a_database_that_does_not_answer_has_not_lost_its_grants(tmp_path: Path) -> None:
    """It is a failure that says what the database's client said."""
    done = on_database(tmp_path, nodes.grants_script(["nova"]), DATABASE=str(tmp_path / "none"))
    assert done.returncode == 1
    assert "Can't connect" in done.stderr


# The order

QUICK = {
    nodes: ("report", "grants", "cells"),
    cloud: (
        *("login", "assignments", "providers", "compute_services", "network_agents", "hypervisors"),
        *("image", "instance"),
    ),
    ask: ("endpoint", "statistics", "page", "sha256"),
    web: ("connects",),
}


def test_what_keeps_a_controller_busy_is_asked_once_all_else_is_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answered: list[str] = []

    def question(name: str, seconds: float) -> Callable[..., bool]:
        def answer(*_: object, **_options: object) -> bool:
            time.sleep(seconds)
            answered.append(name)
            return True

        return answer

    for module, names in QUICK.items():
        for name in names:
            monkeypatch.setattr(module, name, question(name, 0.1))
    monkeypatch.setattr(nodes, "upgrade", question("upgrade", 0))
    monkeypatch.setattr(dashboard, "log_in", question("log_in", 0))
    ask.everything(stacks.load("compact"), tmp_path)
    assert sorted(answered[-4:]) == ["log_in", "log_in", "upgrade", "upgrade"]
    assert set(answered[:-4]) == {name for names in QUICK.values() for name in names}


def test_what_keeps_a_controller_busy_is_not_asked_again_once_it_was_right(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    upgrades = {
        "placement": [UpgradeChecks(status=2, results=()), UpgradeChecks(status=0, results=())],
        "nova": [UpgradeChecks(status=1, results=())],
    }
    visits = {"myuser": ["nobody", "myuser"], "admin": ["admin"]}

    def upgrade(_node: Node, service: Service, _secrets: Secrets) -> UpgradeChecks:
        asked.append(service.name)
        return upgrades[service.name].pop(0)

    def log_in(_url: str, username: str, _password: str) -> Visit:
        asked.append(username)
        return Visit(path="/dashboard/settings/", user=visits[username].pop(0), seconds=1)

    for module, names in QUICK.items():
        for name in names:
            monkeypatch.setattr(module, name, lambda *_, **_options: True)
    monkeypatch.setattr(nodes, "upgrade", upgrade)
    monkeypatch.setattr(dashboard, "log_in", log_in)
    config = stacks.load("compact")
    first = ask.everything(config, tmp_path)
    assert sorted(asked) == ["admin", "myuser", "nova", "placement"]
    second = ask.everything(config, tmp_path, first)
    assert sorted(asked[4:]) == ["myuser", "placement"]
    assert {name: checks.status for name, checks in second.upgrades.items() if isinstance(checks, UpgradeChecks)} == {
        "placement": 0,
        "nova": 1,
    }
    assert {user: visit.user for user, visit in second.dashboard.items() if isinstance(visit, Visit)} == {
        "myuser": "myuser",
        "admin": "admin",
    }


def test_a_service_is_silent_until_it_gives_its_version_document(site: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the load balancer's own answer is none of."""
    lab = stacks.load("compact").site
    monkeypatch.setattr(type(lab), "url", lambda _, endpoint: f"{site.url}/{endpoint.type}/")
    document = {"version": {"id": "v3.14"}}
    for kind in ("placement", "compute", "network"):
        site.answers[f"GET /{kind}/"] = Answer(200, document)
    site.answers["GET /identity/"] = Answer(503, "<html>No server is available</html>")
    assert ask.silent(ask.endpoint_urls(lab)) == ["keystone", "glance"]
    for kind in ("identity", "image"):
        site.answers[f"GET /{kind}/"] = Answer(300, document)
    assert ask.silent(ask.endpoint_urls(lab)) == []


def test_a_lab_that_gives_no_token_is_not_kept_busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What comes up after a reset needs its processors itself."""

    def refuse(*_: object, **_options: object) -> None:
        raise UnansweredError("http://openstack-vip.magedu.local:5000/v3: refused")

    def never(*_: object, **_options: object) -> None:
        pytest.fail("asked")

    for module, name in (
        *((nodes, name) for name in ("report", "grants", "cells")),
        *((ask, name) for name in ("endpoint", "statistics", "page")),
        (cloud, "login"),
    ):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(web, "connects", lambda *_, **_options: False)
    monkeypatch.setattr(ask, "sha256", lambda _: "")
    monkeypatch.setattr(nodes, "upgrade", never)
    monkeypatch.setattr(dashboard, "log_in", never)
    config = stacks.load("compact")
    answers = ask.everything(config, tmp_path)
    told = {finding.detail for check in ("upgrade check", "dashboard") for finding in CHECKS[check](config, answers)}
    assert told == {"no token, so no upgrade check", "no token, so no login"}
