"""The instance test against a cloud on loopback that boots nothing, but answers as if it did."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from components.cloud.clients import TENANT_KEY
from components.config import Config
from components.secrets import KeyPair
from components.topology import Node
from tests import stacks
from tests.verify import keystone, servers
from tests.verify.servers import Answer, Request, Web
from tools.verify import cloud, instance, nodes, web
from tools.verify.model import Finding, Login, UnansweredError

pytestmark = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning")

ADDRESS, DHCP = "127.0.100.50", "127.0.100.10"
HOST = stacks.load("compact").secrets.ssh_key("the instance's own")
CONSOLE = "GRUB\nLinux version 6.1\n\n=== ready ===\n"
RESOLVED = f"Server:\t\t{DHCP}\nAddress:\t{DHCP}:53\n\nName:\thost-127-0-100-50.openstacklocal\nAddress: {ADDRESS}\n"

JSON = {"Content-Type": "application/json"}


@dataclass
class Cloud:
    """Keystone's catalog in one server's paths: /compute, /network, /image, /placement. One instance at most."""

    url: str
    key: KeyPair
    status: str = "ACTIVE"
    fault: str = ""
    console: str = CONSOLE
    greeting: bytes = b"\x82\x0cRFB 003.008\n"
    loses_creation: bool = False
    left_port: bool = False
    server: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def play(self, request: Request) -> Answer | None:
        """What it answers now."""
        method, _, path = request.line.partition(" ")
        path, _, query = path.partition("?")
        match method, path.strip("/").split("/"):
            case "GET", ["compute"]:
                return self._entry("version", "compute", "v2.1", version="2.93", min_version="2.1")
            case "GET", ["placement"]:
                return self._entry("versions", "placement", "v1.0", max_version="1.39", min_version="1.0")
            case "GET", ["network"]:
                return self._entry("versions", "network/v2.0/", "v2.0")
            case "GET", ["image"]:
                return self._entry("versions", "image/v2/", "v2.15")
            case "GET", ["compute", "flavors", "m1.nano"]:
                return Answer(200, {"flavor": {"id": "f", "name": "m1.nano"}}, JSON)
            case "GET", ["network", "v2.0", "networks"]:
                return Answer(200, {"networks": [{"id": "n", "name": "provider"}] if "name=provider" in query else []})
            case "GET", ["image", "v2", "images"]:
                return Answer(200, {"images": [{"id": "i", "name": "cirros-0.5.1"}]})
            case "GET", ["network", "v2.0", "ports"]:
                return Answer(200, {"ports": self._ports(query)})
            case "GET", ["placement", "allocations", "s"]:
                return Answer(200, {"allocations": {"u": {"resources": {"VCPU": 1}}} if self.server else {}})
            case "POST", ["compute", "servers"]:
                self.server = {"id": "s", "status": "BUILD", "addresses": {}, **json.loads(request.body)["server"]}
                self.asked.append(f"create {self.server['name']}")
                return Answer(504) if self.loses_creation else Answer(202, {"server": {"id": "s"}}, JSON)
            case "GET", ["compute", "servers", "s"]:
                return self._grown()
            case "GET", ["compute", "servers", "detail"]:
                return Answer(200, {"servers": [self.server] if self.server else []})
            case "DELETE", ["compute", "servers", "s"]:
                self.server = {}
                self.asked.append("delete s")
                return Answer(204)
            case "POST", ["compute", "servers", "s", "action"]:
                return Answer(200, {"output": self.console}) if self.server else Answer(404)
            case "POST", ["compute", "servers", "s", "remote-consoles"]:
                url = f"{self.url}/vnc_lite.html?path=%3Ftoken%3Dt"
                return Answer(200, {"remote_console": {"protocol": "vnc", "type": "novnc", "url": url}})
            case "GET", ["vnc_lite.html"]:
                return Answer(200, "<title>noVNC</title>")
            case "GET", [""] if query == "token=t":
                return Answer(101, self.greeting, {"Upgrade": "websocket", "Connection": "Upgrade"})
        return None

    def _entry(self, key: str, path: str, identifier: str, **more: str) -> Answer:
        links = [{"rel": "self", "href": f"{self.url}/{path}"}]
        entry = {"id": identifier, "status": "CURRENT", "links": links, **more}
        return Answer(200, {key: entry if key == "version" else [entry]}, JSON)

    def _grown(self) -> Answer:
        """The server, older by one look."""
        looked = dict(self.server)
        self.server |= {"status": self.status, "addresses": {"provider": [{"addr": ADDRESS, "version": 4}]}}
        if self.fault:
            self.server["fault"] = {"code": 500, "message": self.fault}
        return Answer(200, {"server": looked}, JSON)

    def _ports(self, query: str) -> list[dict[str, Any]]:
        if "device_owner=network%3Adhcp" in query:
            return [{"id": "d", "fixed_ips": [{"ip_address": DHCP}]}]
        return [{"id": "p"}] if "device_id=s" in query and (self.server or self.left_port) else []


@dataclass
class Lab:
    """A lab whose cloud is on loopback."""

    config: Config
    clients: Path
    cloud: Cloud
    web: Web
    said: list[str] = field(default_factory=list)

    def run(self) -> list[Finding]:
        """The test."""
        return instance.run(self.config, self.clients, self.said.append)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab where everything is right, and where nobody waits."""
    config = stacks.on_loopback()
    key = config.secrets.ssh_key(TENANT_KEY)
    (tmp_path / "demo-key").write_text(key.private)
    ping(tmp_path, monkeypatch, "[ $(wc -l <asked) -gt 1 ]")
    for constant, value in (("_PAUSE", 0.01), ("_PROGRESS", 0), ("SECONDS", 60), ("DELETION_SECONDS", 30)):
        monkeypatch.setattr(instance, constant, value)
    monkeypatch.setattr(web, "SECONDS", 2)
    monkeypatch.setattr(nodes, "run", on_node)
    with servers.web() as served:
        played = Cloud(served.url, key)
        served.play = played.play
        served.answers["POST /v3/auth/tokens"] = keystone.token(served)
        for name in ("demo-openrc", "admin-openrc"):
            keystone.openrc(tmp_path, served.url, name)
        monkeypatch.setattr(instance, "console_url", lambda _: f"{served.url}/vnc_lite.html")
        yield Lab(config, tmp_path, played, served)


def ping(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a `ping` on PATH that notes its arguments in `asked` before it decides."""
    program = directory / "bin" / "ping"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/bash\ncd {directory}\nprintf "%s\\n" "$*" >>asked\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def on_node(node: Node, script: str, *_: object, **__: object) -> str:
    """A compute node without disks."""
    assert node.name == "node1"
    assert script == "find /var/lib/nova/instances -maxdepth 1 -name 's*'"
    return ""


@pytest.fixture
def hurried(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The same, where little time is given."""
    monkeypatch.setattr(instance, "SECONDS", 3)
    monkeypatch.setattr(instance, "DELETION_SECONDS", 1.5)
    return lab


@pytest.fixture
def guest(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An instance's SSH server; what it says can be changed until the test runs."""
    said = {
        "hostname": "",
        "metadata hostname": "",
        "metadata key": lab.cloud.key.public,
        "authorized keys": lab.cloud.key.public,
        "resolv.conf": "search openstacklocal\nnameserver 223.6.6.6",
        "nslookup": RESOLVED,
    }
    run = instance.run_on_guest

    def started(address: str, key: asyncssh.SSHKey, script: str) -> str:
        name = lab.cloud.server["name"]
        parts = [said["hostname"] or name, said["metadata hostname"] or f"{name}.novalocal", *list(said.values())[2:]]
        output = "\n---\n".join(parts)
        with servers.ssh(HOST, lab.cloud.key, address=ADDRESS, output=output) as port:
            monkeypatch.setattr(instance, "SSH_PORT", port)
            return run(address, key, script)

    monkeypatch.setattr(instance, "run_on_guest", started)
    return said


def summary(findings: list[Finding]) -> list[tuple[str, bool]]:
    """Subjects, and whether they are right."""
    return [(finding.subject, finding.ok) for finding in findings]


STEPS = ["boot", "ping", "console log", "console", "SSH", "hostname", "metadata", "DNS", "deletion"]


@pytest.mark.usefixtures("guest")
def test_an_instance_that_has_all_it_should_have_is_right_in_every_step(lab: Lab) -> None:
    findings = lab.run()
    assert summary(findings) == [(step, True) for step in STEPS], findings
    boot, pinged, log, console, ssh, hostname, metadata, dns, deletion = (finding.detail for finding in findings)
    name = hostname
    assert lab.cloud.asked == [f"create {name}", "delete s"]
    assert boot.startswith(f"{name} of m1.nano from cirros-0.5.1: ACTIVE with {ADDRESS}, ")
    assert log.startswith("3 lines after ")
    assert console == (f"{lab.cloud.url}/vnc_lite.html with its token: the page, and VNC behind it (RFB 003.008)")
    assert pinged.startswith(f"{ADDRESS} answers after ")
    assert ssh.startswith(f"cirros@{ADDRESS} with demo-key after ")
    assert metadata == (
        f"http://169.254.169.254/latest/meta-data tells the host name {name}.novalocal and the key lab, "
        "which cirros has"
    )
    assert dns == (f"/etc/resolv.conf names 223.6.6.6; {DHCP} resolves host-127-0-100-50.openstacklocal to {ADDRESS}")
    assert deletion.startswith("no server, port, allocation in Placement or disk left after ")


@pytest.mark.usefixtures("guest")
def test_an_instance_that_is_there_is_looked_at_and_stays(lab: Lab) -> None:
    lab.cloud.server = {"id": "s", "name": "vm1", "status": "ACTIVE", "addresses": {}}
    findings = instance.examine(lab.config, lab.clients, "vm1")
    assert summary(findings) == [(step, True) for step in STEPS[:-1]], findings
    assert findings[0].detail.startswith(f"vm1: ACTIVE with {ADDRESS}, ")
    assert lab.cloud.server
    assert lab.cloud.asked == []


def test_an_instance_that_is_not_there_is_told(lab: Lab) -> None:
    (found,) = instance.examine(lab.config, lab.clients, "vm1")
    assert (found.ok, found.detail) == (False, "0 servers of the name vm1")


@pytest.mark.usefixtures("guest")
def test_it_is_asked_for_with_the_stack_s_own_flavor_network_group_and_key(lab: Lab) -> None:
    lab.run()
    (asked,) = (request for request in lab.web.requests if request.line == "POST /compute/servers")
    server = json.loads(asked.body)["server"]
    assert re.fullmatch("verify-[0-9a-f]{8}", server.pop("name"))
    assert server == {
        "flavorRef": "f",
        "imageRef": "i",
        "networks": [{"uuid": "n"}],
        "security_groups": [{"name": "ping-ssh"}],
        "key_name": "lab",
    }


@pytest.mark.usefixtures("guest")
def test_progress_is_told_with_the_time_that_went_by(lab: Lab) -> None:
    lab.run()
    assert any(line.endswith("no answer to ping yet") for line in lab.said), lab.said
    assert lab.said[-1].endswith("deletion: ok")


def test_an_instance_in_error_is_told_with_its_fault_and_deleted(lab: Lab) -> None:
    lab.cloud.status, lab.cloud.fault = "ERROR", "No valid host was found."
    boot, deletion = lab.run()
    assert (boot.subject, boot.ok) == ("boot", False)
    assert boot.detail.splitlines()[0] == "ERROR: No valid host was found."
    assert "journalctl -u nova-compute.service" in boot.hint
    assert deletion.ok
    assert lab.cloud.asked[-1] == "delete s"


def test_an_address_outside_the_pool_is_wrong(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.verify.test_instance.ADDRESS", "127.0.0.9")
    boot, _ = lab.run()
    assert boot.detail.splitlines()[0] == "127.0.0.9 is not of the pool 127.0.100.10-127.0.100.200"


def test_a_creation_whose_answer_got_lost_leaves_nothing_behind(lab: Lab) -> None:
    lab.cloud.loses_creation = True
    boot, deletion = lab.run()
    assert not boot.ok
    assert "504" in boot.detail
    assert deletion.ok, deletion
    assert lab.cloud.asked[-1] == "delete s"


def test_a_console_that_hangs_up_is_wrong(hurried: Lab) -> None:
    hurried.cloud.greeting = b"\x88\x02\x03\xe8"
    *_, console, deletion = hurried.run()
    assert (console.subject, console.ok) == ("console", False)
    assert "in place of VNC" in console.detail
    assert deletion.ok


def test_an_instance_that_does_not_answer_ping_is_told_with_its_console_s_last_lines(
    hurried: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ping(tmp_path, monkeypatch, "exit 1")
    *_, pinged, deletion = hurried.run()
    first, *rest = pinged.detail.splitlines()
    assert first.startswith("no answer to ping after ")
    assert rest == ["the console's last lines:", "  GRUB", "  Linux version 6.1", "  === ready ==="]
    assert "journalctl -u neutron-dhcp-agent.service" in pinged.hint
    assert deletion.ok
    assert (tmp_path / "asked").read_text().splitlines()[0].endswith(ADDRESS)


def test_a_machine_without_ping_says_what_to_install(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    *_, pinged, _ = lab.run()
    assert pinged.detail.splitlines()[0] == "ping: not found; apt-get install iputils-ping"


@pytest.mark.parametrize(
    ("part", "text", "step", "detail"),
    [
        ("hostname", "cirros", "hostname", "'cirros', not '{name}'"),
        (
            "metadata hostname",
            "other.novalocal",
            "metadata",
            "http://169.254.169.254/latest/meta-data/hostname is 'other.novalocal', not '{name}'",
        ),
        (
            "metadata key",
            "ecdsa-sha2-nistp256 AAAA other",
            "metadata",
            "http://169.254.169.254/latest/meta-data/public-keys/0/openssh-key is 'ecdsa-sha2-nistp256 AAAA other',"
            " not the key lab",
        ),
        ("authorized keys", "", "metadata", "the key lab is not among cirros's authorized keys"),
        ("resolv.conf", "", "DNS", "/etc/resolv.conf names no server, not 223.6.6.6"),
        (
            "nslookup",
            "can't resolve 'host-127-0-100-50'",
            "DNS",
            f"the DHCP server {DHCP} does not resolve the instance's name: can't resolve 'host-127-0-100-50'",
        ),
    ],
)
def test_what_the_instance_did_not_get_is_told(
    lab: Lab, guest: dict[str, str], part: str, text: str, step: str, detail: str
) -> None:
    guest[part] = text
    *_, wrong, deletion = lab.run()
    name = lab.cloud.asked[0].removeprefix("create ")
    assert (wrong.subject, wrong.ok) == (step, False)
    assert wrong.detail.splitlines()[0] == detail.format(name=name)
    assert deletion.ok


@pytest.mark.usefixtures("guest")
def test_what_is_left_after_the_deletion_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "DELETION_SECONDS", 1)
    lab.cloud.left_port = True
    *_, deletion = lab.run()
    assert not deletion.ok
    assert "(left of it: port p)" in deletion.detail


def test_an_interrupted_test_deletes_its_instance_all_the_same(lab: Lab) -> None:
    def interrupt(line: str) -> None:
        if "console log: ok" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        instance.run(lab.config, lab.clients, interrupt)
    assert lab.cloud.asked[-1] == "delete s"


def test_without_a_token_nothing_is_made(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_client: Path) -> Login:
        raise UnansweredError("no token: HTTP 401")

    monkeypatch.setattr(cloud, "login", refuse)
    (finding,) = lab.run()
    assert (finding.subject, finding.ok, finding.detail) == ("login", False, "no token: HTTP 401")
    assert lab.cloud.asked == []


def test_the_instance_s_script_asks_in_words_that_a_shell_has(tmp_path: Path) -> None:
    """With programs in place of those that need a network."""
    for name, script in {
        "hostname": "echo vm",
        "wget": 'echo "$3 of ${4#http://169.254.169.254}"',
        "curl": "exit 22",
        "nslookup": 'echo "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "authorized_keys").write_text("key\n")
    (tmp_path / "resolv.conf").write_text("search openstacklocal\nnameserver 223.6.6.6\n")
    script = instance.guest_script(ADDRESS, DHCP).replace("/etc/resolv.conf", "resolv.conf")
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert instance.read_guest(done.stdout) == {
        "hostname": "vm",
        "metadata hostname": "- of /latest/meta-data/hostname",
        "metadata key": "- of /latest/meta-data/public-keys/0/openssh-key",
        "authorized keys": "key",
        "resolv.conf": "search openstacklocal\nnameserver 223.6.6.6",
        "nslookup": f"host-127-0-100-50.openstacklocal {DHCP}",
    }


def test_an_instance_that_says_something_else_is_not_understood() -> None:
    with pytest.raises(UnansweredError, match="not understood"):
        instance.read_guest("Please login as 'cirros' rather than root\n")


@pytest.mark.usefixtures("guest")
def test_while_it_boots_the_cloud_is_asked_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is emulated, every question takes time from the instance that boots."""
    answers = iter([False] * 5)
    asked: list[int] = []

    def ping(_: str) -> bool:
        asked.append(len(lab.web.requests))
        return next(answers, True)

    monkeypatch.setattr(instance, "_pings", ping)
    lab.run()
    assert len(asked) == 6
    assert len(set(asked)) == 1
