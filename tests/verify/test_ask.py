"""The questions, asked of real servers on loopback: good answers, bad answers, none at all."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import remote
from tests import stacks
from tests.verify import servers
from tests.verify.servers import Answer, Web
from tools.verify import ask, ssh
from tools.verify.model import Clock, HttpAnswer, ImageFound, Server, UnansweredError, UnitState

pytestmark = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning")

PASSWORD = "not-to-be-seen-anywhere"

UNITS = ("chrony.service", "glance-api.service")
TOLD = """\
5: br0    inet 172.16.0.248/16 scope global secondary br0
---
AC100065,172.16.0.101,11,1763900000.123456789,-0.000012,0.000021,0.000033,-1.2,0.001,0.02,0.0004,0.0005,64.3,Normal
---
ActiveState=active
SubState=running
UnitFileState=enabled

ActiveState=failed
SubState=failed
UnitFileState=disabled
"""


@pytest.fixture
def web() -> Iterator[Web]:
    """An HTTP server."""
    with servers.web() as served:
        yield served


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long here; and a proxy in the environment, since no question may go through one."""
    monkeypatch.setattr(ask, "SECONDS", 1)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{servers.closed()}")


# Nodes


def test_a_node_tells_its_address_clock_and_units() -> None:
    told = ask.report(TOLD, UNITS)
    assert told.holds_vip
    assert told.clock == Clock(offset=-0.000012, leap="Normal", stratum=11, source="172.16.0.101")
    assert told.units == {
        "chrony.service": UnitState("active", "running", "enabled"),
        "glance-api.service": UnitState("failed", "failed", "disabled"),
    }


def test_a_node_without_the_virtual_address_says_nothing_about_it() -> None:
    assert not ask.report(TOLD[TOLD.index("---") :], UNITS).holds_vip


def test_a_node_whose_clock_is_not_kept_says_why() -> None:
    lines = TOLD.splitlines(keepends=True)
    told = ask.report("".join([*lines[:2], "506 Cannot talk to daemon\n", *lines[3:]]), UNITS)
    assert isinstance(told.clock, UnansweredError)
    assert str(told.clock) == "chronyc: 506 Cannot talk to daemon"


@pytest.mark.parametrize("output", ["", "Permission denied\n", TOLD + "\nActiveState=active\n"])
def test_a_node_that_tells_something_else_is_not_understood(output: str) -> None:
    with pytest.raises(UnansweredError, match="not understood"):
        ask.report(output, UNITS)


def test_the_units_of_a_node_follow_its_roles() -> None:
    site = stacks.load("compact").site
    controller, compute = site.topology.nodes
    assert ask.units_of(site, compute) == ("chrony.service",)
    assert ask.units_of(site, controller)[-2:] == ("keystone.service", "glance-api.service")


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
def test_an_endpoint_s_answer_is_its_status(web: Web, status: int) -> None:
    web.answers["GET /v3/"] = Answer(status, {"version": {"id": "v3.14"}}, {"Location": "http://127.0.0.1:1/"})
    answer = ask.endpoint(f"{web.url}/v3/")
    assert isinstance(answer, HttpAnswer)
    assert answer.status == status
    assert 0 < answer.seconds < 1


def test_an_endpoint_that_nobody_listens_at_is_told() -> None:
    url = f"http://127.0.0.1:{servers.closed()}"
    with pytest.raises(UnansweredError, match=f"^{url}: .*Connection refused"):
        ask.endpoint(url)


def test_an_endpoint_that_keeps_silent_is_given_up() -> None:
    with servers.silent() as port, pytest.raises(UnansweredError, match="timed out"):
        ask.endpoint(f"http://127.0.0.1:{port}")


# HAProxy

STATISTICS = """\
# pxname,svname,qcur,status,check_status,lastchg,
stats,FRONTEND,,OPEN,,,
glance-api-9292,FRONTEND,,OPEN,,,
glance-api-9292,172.16.0.101,0,DOWN,L4CON,42,
glance-api-9292,BACKEND,0,DOWN,,42,
keystone-api-5000,172.16.0.101,0,UP,L4OK,600,
"""


def test_haproxy_tells_its_servers_to_whom_knows_the_password(web: Web) -> None:
    web.answers["GET /haproxy;csv"] = Answer(200, STATISTICS)
    assert ask.statistics(f"{web.url}/haproxy", PASSWORD) == (
        Server(listener="glance-api-9292", name="172.16.0.101", status="DOWN", check="L4CON", seconds="42"),
        Server(listener="keystone-api-5000", name="172.16.0.101", status="UP", check="L4OK", seconds="600"),
    )
    assert web.requests[0].headers["Authorization"] == "Basic aGFhZG1pbjpub3QtdG8tYmUtc2Vlbi1hbnl3aGVyZQ=="


def test_a_statistics_page_behind_another_password_is_told_without_ours(web: Web) -> None:
    web.answers["GET /haproxy;csv"] = Answer(401)
    with pytest.raises(UnansweredError) as told:
        ask.statistics(f"{web.url}/haproxy", PASSWORD)
    assert str(told.value) == f"{web.url}/haproxy;csv: HTTP 401"


# Keystone


def openrc(directory: Path, url: str) -> Path:
    """A client environment file as the lab writes it."""
    file = directory / "demo-openrc"
    file.write_text(
        "export OS_PROJECT_DOMAIN_NAME=Default\nexport OS_USER_DOMAIN_NAME=Default\n"
        f"export OS_PROJECT_NAME=myproject\nexport OS_USERNAME=myuser\nexport OS_PASSWORD={PASSWORD}\n"
        f"export OS_AUTH_URL={url}/v3\nexport OS_REGION_NAME=RegionOne\n"
    )
    return file


def token(web: Web) -> Answer:
    """Keystone's answer to a right password, with Glance at /image of the same server."""
    glance = {"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": f"{web.url}/image"}
    return Answer(
        201,
        {
            "token": {
                "methods": ["password"],
                "expires_at": "2099-01-01T00:00:00.000000Z",
                "issued_at": "2026-01-01T00:00:00.000000Z",
                "user": {"id": "u", "name": "myuser", "domain": {"id": "default", "name": "Default"}},
                "project": {"id": "p", "name": "myproject", "domain": {"id": "default", "name": "Default"}},
                "roles": [{"id": "r", "name": "myrole"}],
                "catalog": [{"type": "image", "name": "glance", "id": "s", "endpoints": [glance]}],
            }
        },
        {"X-Subject-Token": "gAAAA-token"},
    )


def test_the_client_file_s_user_gets_a_token_for_its_project(web: Web, tmp_path: Path) -> None:
    web.answers["POST /v3/auth/tokens"] = token(web)
    login = ask.login(openrc(tmp_path, web.url))
    assert (login.project, login.roles) == ("myproject", ("myrole",))
    assert [(entry["type"], entry["endpoints"][0]["url"]) for entry in login.catalog] == [("image", f"{web.url}/image")]
    assert PASSWORD in web.requests[0].body


def test_a_wrong_password_is_told_without_showing_it(web: Web, tmp_path: Path) -> None:
    web.answers["POST /v3/auth/tokens"] = Answer(
        401, {"error": {"code": 401, "title": "Unauthorized", "message": "The request requires authentication."}}
    )
    with pytest.raises(UnansweredError, match=r"^no token: .*\(HTTP 401\)") as told:
        ask.login(openrc(tmp_path, web.url))
    assert PASSWORD not in str(told.value)


def test_a_keystone_that_is_not_there_is_told(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{servers.closed()}"
    with pytest.raises(UnansweredError, match=f"^no token: Unable to establish connection to {url}/v3/auth/tokens$"):
        ask.login(openrc(tmp_path, url))


def test_a_keystone_that_keeps_silent_is_given_up(tmp_path: Path) -> None:
    with servers.silent() as port, pytest.raises(UnansweredError, match=r"^no token: Request to .* timed out$"):
        ask.login(openrc(tmp_path, f"http://127.0.0.1:{port}"))


def test_a_client_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnansweredError, match=r"admin-openrc: No such file or directory"):
        ask.login(tmp_path / "admin-openrc")


# Glance

BYTES = b"not quite a qcow2 image" * 100_000


def glance(web: Web, *images: dict[str, object], content: bytes = BYTES) -> None:
    """Have the server play Keystone and Glance with these public images of one name."""
    version = {
        "id": "v2.15",
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{web.url}/image/v2/"}],
    }
    web.answers |= {
        "POST /v3/auth/tokens": token(web),
        "GET /image": Answer(300, {"versions": [version]}),
        "GET /image/": Answer(300, {"versions": [version]}),
        "GET /image/v2/images?name=cirros&visibility=public": Answer(200, {"images": list(images)}),
        "GET /image/v2/images/i": Answer(200, images[0] if images else {}),
        "GET /image/v2/images/i/file": Answer(200, content),
    }


CIRROS: dict[str, object] = {"id": "i", "name": "cirros", "size": len(BYTES), "visibility": "public"}


def test_the_public_image_is_found_and_downloaded(web: Web, tmp_path: Path) -> None:
    glance(web, {**CIRROS, "status": "active"})
    found = ask.image(ask.login(openrc(tmp_path, web.url)), "RegionOne", "cirros")
    assert found == ImageFound(status="active", size=len(BYTES), sha256=hashlib.sha256(BYTES).hexdigest())
    assert web.requests[-1].headers["X-Auth-Token"] == "gAAAA-token"


def test_an_image_that_was_never_uploaded_is_not_downloaded(web: Web, tmp_path: Path) -> None:
    glance(web, {**CIRROS, "status": "queued"})
    found = ask.image(ask.login(openrc(tmp_path, web.url)), "RegionOne", "cirros")
    assert (found.status, found.sha256) == ("queued", None)
    assert not any(request.line.endswith("/file") for request in web.requests)


@pytest.mark.parametrize("count", [0, 2])
def test_no_image_and_several_of_the_name_are_told(web: Web, tmp_path: Path, count: int) -> None:
    glance(web, *[{**CIRROS, "status": "active"}] * count)
    with pytest.raises(UnansweredError, match=f"^{count} public images of the name cirros$"):
        ask.image(ask.login(openrc(tmp_path, web.url)), "RegionOne", "cirros")


def test_a_glance_that_fails_is_told(web: Web, tmp_path: Path) -> None:
    glance(web)
    web.answers["GET /image/v2/images?name=cirros&visibility=public"] = Answer(503, "no")
    with pytest.raises(UnansweredError, match=r"^Glance: .*503"):
        ask.image(ask.login(openrc(tmp_path, web.url)), "RegionOne", "cirros")


def test_a_download_that_breaks_off_is_told(web: Web, tmp_path: Path) -> None:
    glance(web, {**CIRROS, "status": "active"})
    web.answers["GET /image/v2/images/i/file"] = Answer(200, BYTES, {"Content-Length": str(len(BYTES) + 1)})
    with pytest.raises(UnansweredError, match=r"^Glance: .*(IncompleteRead|Connection broken)"):
        ask.image(ask.login(openrc(tmp_path, web.url)), "RegionOne", "cirros")


def test_a_file_s_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(BYTES)
    assert ask.sha256(file) == hashlib.sha256(BYTES).hexdigest()
