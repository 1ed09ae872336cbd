"""Bundles made of a node whose sshd is real, and of one that does not answer."""

import base64
import dataclasses
import json
import re
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components import remote
from components.config import Config
from components.services import firewall
from components.services.model import EVERY_ROLE, ConfigFile, Packaging, Service
from tests import stacks
from tests.program import engine
from tests.verify import servers
from tools import cli, hypervisor, known_secrets, logs, paths, preflight, stack, stack_values, steps
from tools import engine as pulumi_engine
from tools.hypervisor import Hypervisor

PASSPHRASE = "a passphrase of the user's own"
TOKEN = "gAAAAABpIx" + "Zm9vYmFy" * 20
FOREIGN_KEY = """\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAA
AAAEbm9uZQAAAARub25l
-----END OPENSSH PRIVATE KEY-----
"""


@dataclasses.dataclass(frozen=True)
class Lab:
    """Two nodes on loopback: controller1 is this machine, seen through sshd; node1 does not listen."""

    config: Config
    files: Path

    def plant(self, name: str, text: str) -> None:
        """Write one of the node's files."""
        (self.files / name).write_text(text)

    def collect(self, seconds: float = 60) -> "Bundle":
        """Make a bundle."""
        return Bundle(logs.collect(self.config, "compact", seconds))


class Bundle:
    """A bundle's files by path, without its own name."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with tarfile.open(file) as archive:
            members = [(member, archive.extractfile(member)) for member in archive]
        self.modes = {member.mode for member, _ in members}
        self.roots = {member.name.partition("/")[0] for member, _ in members}
        with tarfile.open(file) as archive:
            self.texts = {
                member.name.partition("/")[2]: content.read().decode(errors="replace")
                for member in archive
                if (content := archive.extractfile(member))
            }


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real sshd with the keys of the lab's first node; its port."""
    config = stacks.load("compact")
    directory = tmp_path_factory.mktemp("sshd")
    host = directory / "host"
    host.write_text(remote.host_key_pair(config.site.topology.nodes[0], config.secrets).private)
    host.chmod(0o600)
    (directory / "authorized").write_text(remote.login_key_pair(config.secrets).public)
    port = servers.closed()
    (directory / "sshd_config").write_text(
        f"ListenAddress 127.0.0.101:{port}\nHostKey {host}\nAuthorizedKeysFile {directory}/authorized\n"
        "StrictModes no\nUsePAM yes\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", directory / "sshd_config"], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.101", port)):
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def lab(sshd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab; this machine's own part of it is in `tmp_path`, too."""
    whole = stacks.on_loopback()
    files = tmp_path / "node"
    files.mkdir()
    service = Service(
        name="glance",
        roles=EVERY_ROLE,
        has_user=True,
        files=(
            ConfigFile(path=f"{files}/glance-api.conf", content=lambda *_: "password = @glance_identity_password@\n"),
        ),
    )
    release = dataclasses.replace(
        whole.site.release, packaging={"glance": Packaging(logs=(f"{files}/glance-api.log", f"{files}/none.log"))}
    )
    site = dataclasses.replace(whole.site, catalogue=(service,), release=release)
    set_up = tmp_path / "log"
    set_up.mkdir()
    (set_up / "template.log").write_text(f"baked with {whole.secrets.master}\n")
    monkeypatch.setattr(paths, "LOGS", set_up)
    monkeypatch.setattr(logs, "BUNDLES", tmp_path / "logs")
    monkeypatch.setattr(firewall, "SSH_PORT", sshd)
    monkeypatch.setattr(hypervisor, "known", lambda: Hypervisor("test:///default", "default-pool", "qemu", None))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    machine = dataclasses.replace(whole.hypervisor, uri="test:///default")
    return Lab(dataclasses.replace(whole, site=site, hypervisor=machine), files)


def test_a_bundle_is_its_owner_s_alone_and_named_after_stack_and_time(lab: Lab) -> None:
    bundle = lab.collect()
    assert re.fullmatch(r"compact-\d{8}-\d{6}\.tar\.gz", bundle.file.name)
    assert bundle.file.stat().st_mode & 0o777 == 0o600
    assert bundle.roots == {bundle.file.name.removesuffix(".tar.gz")}
    assert bundle.modes == {0o600}
    assert [file.name for file in bundle.file.parent.iterdir()] == [bundle.file.name]


def test_a_node_s_part_holds_its_configuration_logs_journal_and_state(lab: Lab) -> None:
    lab.plant("glance-api.conf", "[DEFAULT]\nbind_host = 172.16.0.101\n")
    lab.plant("glance-api.log", "it started\n")
    texts = lab.collect().texts
    assert texts[f"controller1/configuration{lab.files}/glance-api.conf"] == "[DEFAULT]\nbind_host = 172.16.0.101\n"
    assert texts[f"controller1/logs{lab.files}/glance-api.log"] == "it started\n"
    assert f"controller1/logs{lab.files}/none.log" not in texts
    assert "127.0.0.1/8" in texts["controller1/network.txt"]
    assert re.search(r"^\$ df -h\nFilesystem", texts["controller1/resources.txt"], re.MULTILINE)
    assert texts["controller1/journal.txt"].startswith("$ journalctl --boot")
    assert texts["controller1/failed.txt"].startswith("$ systemctl")


def test_a_node_that_does_not_answer_is_noted(lab: Lab) -> None:
    texts = lab.collect().texts
    assert [path for path in texts if path.startswith("node1/")] == ["node1/missing.txt"]
    assert "Connection refused" in texts["node1/missing.txt"]


def test_this_machine_s_part_tells_what_stands_where(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    urn = "urn:pulumi:compact::openstack-lab::lab:kvm:Machine$libvirt:index/domain:Domain::controller1-domain"
    made = {"urn": urn, "type": "libvirt:index/domain:Domain", "id": "uuid", "created": "2026-11-23T15:00:00Z"}
    monkeypatch.setattr(stack, "resources", lambda _: [{**made, "outputs": {"name": "not-to-be-seen"}}])
    update = {"kind": "update", "result": "failed", "config": {"openstack-lab:masterSecret": {"secret": True}}}
    monkeypatch.setattr(logs, "history", lambda _: [{key: update[key] for key in ("kind", "result")}])
    texts = lab.collect().texts
    assert texts["host/resources.txt"] == (
        "libvirt:index/domain:Domain controller1-domain uuid created 2026-11-23T15:00:00Z\n"
    )
    assert json.loads(texts["host/history.json"]) == [{"kind": "update", "result": "failed"}]
    assert re.search(r"^ 1 +test +running$", texts["host/libvirt.txt"], re.MULTILINE)
    assert json.loads(texts["host/status.json"])["nodes"][0]["name"] == "controller1"
    assert json.loads(texts["host/configuration.json"])["vip"] == "172.16.0.248"
    assert texts["host/about.txt"].startswith("stack compact, ")
    assert texts["host/set-up/template.log"] == "baked with ***\n"


def test_what_this_machine_cannot_tell_is_noted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Hypervisor:
        raise steps.StepError("the private hypervisor does not run")

    monkeypatch.setattr(hypervisor, "known", gone)
    assert lab.collect().texts["host/libvirt.txt"] == "missing: the private hypervisor does not run\n"


def test_no_planted_secret_comes_out(lab: Lab) -> None:
    """Every secret of the lab, planted in a configuration file and a log as they would come there."""
    secrets = lab.config.secrets
    password = secrets.value("glance_identity_password")
    key = secrets.ssh_key("operator").private
    planted = {
        password,
        secrets.master,
        PASSPHRASE,
        TOKEN,
        base64.b64encode(f"haadmin:{secrets.value('haproxy_stats_password')}".encode()).decode(),
        *key.splitlines()[1:-1],
    }
    lab.plant("glance-api.conf", f"connection = mysql+pymysql://glance:{password}@vip/glance\npassword={password}\n")
    lab.plant(
        "glance-api.log",
        f"said {secrets.master}, {PASSPHRASE} and x{password}x\n{key}{json.dumps(key)}\n{FOREIGN_KEY}"
        f"X-Auth-Token: {TOKEN}\nGET /vnc_auto.html?path=%3Ftoken%3D8b4d0f2e-1111-2222-3333-444455556666\n"
        + " ".join(planted),
    )
    bundle = lab.collect()
    assert bundle.texts[f"controller1/configuration{lab.files}/glance-api.conf"] == (
        "connection = mysql+pymysql://glance:***@vip/glance\npassword=***\n"
    )
    log = bundle.texts[f"controller1/logs{lab.files}/glance-api.log"]
    assert "said ***, *** and x***x\n" in log
    assert "X-Auth-Token: ***\n" in log
    assert "path=%3Ftoken%3D***\n" in log
    planted |= set(FOREIGN_KEY.splitlines()[1:-1])
    leaks = {(path, secret) for path, text in bundle.texts.items() for secret in planted if secret in text}
    assert leaks == set()


def test_a_file_is_cut_at_a_line_so_that_no_part_of_a_secret_is_left(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 40)
    password = lab.config.secrets.value("glance_identity_password")
    text = f"password {password}\nthe last thing that happened\n"
    lab.plant("glance-api.log", text)
    (paths.LOGS / "template.log").write_text(text)
    assert len(text) - 40 > len("password "), "the cut is within the password"
    texts = lab.collect().texts
    assert texts[f"controller1/logs{lab.files}/glance-api.log"] == "the last thing that happened\n"
    assert texts["host/set-up/template.log"] == "the last thing that happened\n"


def test_a_node_that_takes_too_long_is_noted_and_all_else_is_there(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "node_script", lambda *_: "sleep 20")
    begun = time.monotonic()
    texts = lab.collect(seconds=3).texts
    assert time.monotonic() - begun < 10
    assert "controller1/missing.txt" in texts
    assert "host/about.txt" in texts


def test_a_node_stops_asking_in_time_and_hands_over_what_it_has(lab: Lab) -> None:
    lab.plant("glance-api.conf", "[DEFAULT]\n")
    script = logs.node_script(lab.config.site, lab.config.site.topology.nodes[0], 0)
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    texts = dict(logs._members(done.stdout))
    assert b"not asked: too late" in texts["network.txt"]
    assert not any(path.startswith("configuration/") for path in texts)


def test_what_a_node_names_outside_its_part_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    with tarfile.open(tmp_path / "archive", "w") as archive:
        for name in ("./journal.txt", "../../escaped", "/etc/passwd"):
            archive.add(file, name)
    assert set(dict(logs._members((tmp_path / "archive").read_bytes()))) == {"journal.txt", "etc/passwd"}


# Which values are secret


@pytest.mark.parametrize("stack_name", stacks.STACKS)
def test_every_secret_that_the_program_hands_out_is_known(stack_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What scripts on machines get on standard input, what providers log in with, what is written for the operator."""
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    mask = logs.Mask(known_secrets.values(stacks.load(stack_name)))
    handed: list[str] = []
    for resource in engine.run(stack_name).values():
        for name in resource.secret & {"stdin", "password"}:
            masked = mask(str(resource.inputs[name]).encode()).decode()
            handed += masked.splitlines()
            if resource.type == "command:remote:Command":
                assert all(re.fullmatch(r"[a-z0-9_]+=\*\*\*", line) for line in masked.splitlines()), resource.name
    assert handed.count("***") > 5, "passwords by themselves, and keys"
    assert handed.count("export OS_PASSWORD=***") == 2
    assert len([line for line in handed if line.endswith("_password=***")]) > 20
    assert not [line for line in handed if "PRIVATE KEY" in line]


def test_an_override_is_secret_and_the_guide_s_own_passwords_are_not() -> None:
    own = {"glance_identity_password": "my-own-password"}
    values = known_secrets.values(stacks.load("lab", passwords="guide", passwordOverrides=own))
    assert "my-own-password" in values
    assert not {"openstack123", "glance123", "nova", "admin", "myuser"} & values


def test_the_longer_secret_is_replaced_first() -> None:
    assert logs.Mask({"secret", "secret-and-more"})(b"a secret-and-more, a secret") == b"a ***, a ***"


# `make logs`, and `up` when it fails


def test_the_bundle_s_path_and_size_are_printed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack_values, "complete", {"compact": lab.config}.__getitem__)
    assert logs.main(["--stack", "compact", "--seconds", "30"]) == 0
    said = re.fullmatch(r"logs: (\S+) \(\d+\.\d MiB\)\n", capsys.readouterr().out)
    assert said
    assert Path(said[1]).is_file()


@pytest.fixture
def failed_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """`up` whose engine ends with status 77; where it asks the lab, it runs the given command. Its exit status."""
    for name in ("check", "check_configuration"):
        monkeypatch.setattr(preflight, name, lambda *_: None)
    monkeypatch.setattr(cli, "_mend", lambda *_: [])
    monkeypatch.setattr(pulumi_engine, "up", lambda *_, **__: 77)
    monkeypatch.setattr(steps, "timings", [])

    def run(command: list[str]) -> int:
        class Here(Hypervisor):
            def command(self, words: object) -> list[str]:
                return [command[0], *command[1:], *map(str, words)]  # type: ignore[call-overload]

        monkeypatch.setattr(cli, "set_up", lambda _: Here("test:///default", "pool", "qemu", None))
        return cli.main(["--stack", "compact", "up"])

    return run


def test_a_failed_up_collects_logs_and_keeps_its_own_exit_status(
    failed_up: Callable[[list[str]], int], capfd: pytest.CaptureFixture[str]
) -> None:
    assert failed_up(["echo", "asked:"]) == 77
    printed = capfd.readouterr().out
    assert re.search(r"^asked: \S+ -m tools --stack compact logs --seconds=120$", printed, re.MULTILINE)
    assert re.search(r"^logs +\d+\.\d s  exit status 0$", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "outcome"),
    [(["false"], "exit status 1"), (["sh", "-c", "exec sleep 60"], "given up"), (["/none"], "given up")],
)
def test_logs_that_cannot_be_had_hide_nothing(
    failed_up: Callable[[list[str]], int],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    outcome: str,
) -> None:
    monkeypatch.setattr(cli, "_LOGS_SECONDS", 0.5)
    assert failed_up(command) == 77
    assert outcome in capfd.readouterr().out
