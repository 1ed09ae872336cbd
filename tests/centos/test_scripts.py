"""Every script of train-centos7, run on a stand-in of a CentOS machine: once to set it up, again to change nothing."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.remote import LIBRARY_PATH
from tests import stacks
from tests.program import engine

HERE = Path(__file__).parent
PROGRAMS = (
    *("rpm", "yum", "systemctl", "ip", "chkconfig", "selinuxenabled", "getsebool", "setsebool", "restorecon"),
    *("firewall-cmd", "chown", "stat", "install", "runuser", "timeout", "mysql", "curl", "httpd", "haproxy", "sysctl"),
    *(
        "ntpdate",
        "modprobe",
        "keystone-manage",
        "glance-manage",
        "placement-manage",
        "nova-manage",
        "neutron-db-manage",
    ),
)
OUR_PLACES = re.compile(r"(?<![\w/.])/(?=(?:etc|root|run|var|usr/local|usr/share)/)")


@dataclass
class StandIn:
    """A directory that stands for the root of a machine."""

    root: Path

    def __post_init__(self) -> None:
        """Lay out what is there before the first login."""
        for directory in ("bin", "state", "usr/local/lib", "usr/local/sbin", "etc/neutron", "run"):
            (self.root / directory).mkdir(parents=True)
        for program in PROGRAMS:
            (self.root / "bin" / program).symlink_to(HERE / "shim.sh")

    def moved(self, script: str) -> str:
        """A script whose absolute places are below the root."""
        return OUR_PLACES.sub(f"{self.root}/", script)

    def run(self, script: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script as the machine would."""
        path = os.environ["PATH"]
        return subprocess.run(
            ["bash", "-c", self.moved(script)],
            input=stdin,
            env={"PATH": f"{self.root / 'bin'}:{path}", "REAL_PATH": path, "STAND_IN": str(self.root), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def library(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script behind the library."""
        library = (stacks.CHECKOUT / "components" / "lib.sh").read_text()
        (self.root / LIBRARY_PATH.lstrip("/")).write_text(self.moved(library))
        return self.run(f". {LIBRARY_PATH}\n{script}", **environment)

    def changes(self) -> list[str]:
        """What was changed since it was asked last."""
        file = self.root / "changes"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def machine(tmp_path: Path) -> StandIn:
    """A machine of its own."""
    return StandIn(tmp_path / "root")


def commands(node: str) -> dict[str, engine.Resource]:
    """Every command on a node of the stack `compact`, in the order of the program."""
    found = engine.commands(engine.run("compact", json.dumps({"release": "train-centos7"})))
    return {
        name: each
        for name, each in found.items()
        if str(each.request.deletedWith).rpartition("::")[2] == f"{node}-domain"
    }


def set_up(machine: StandIn, node: str) -> dict[str, tuple[str, list[str]]]:
    """Run all of a node's commands; what each said, and what it changed."""
    told = {}
    for name, each in commands(node).items():
        done = machine.run(each.inputs["create"], each.inputs.get("stdin", ""))
        assert done.returncode == 0, f"{name}: {done.stderr}{done.stdout}"
        told[name] = done.stdout, machine.changes()
    return told


@pytest.mark.parametrize("node", ["controller1", "node1"])
def test_a_machine_is_set_up_once_and_left_alone_the_second_time(node: str, tmp_path: Path) -> None:
    machine = StandIn(tmp_path / "root")
    first, second = set_up(machine, node), set_up(machine, node)
    wrote = re.findall(r"^wrote (.*)$", "".join(said for said, _ in first.values()), re.MULTILINE)
    assert len(wrote) > 15
    assert len(wrote) == len(set(wrote))
    changed = [change for _, changes in first.values() for change in changes]
    installed = [change.split()[2:] for change in changed if change.startswith("yum install ")]
    assert installed[0] == ["centos-release-openstack-train"]
    assert "openstack-selinux" in installed[1]
    assert changed.index("start prov.service") < changed.index("restart network.service")
    assert {"runtime - ssh", "permanent - ssh"} <= set(changed)
    assert not [change for change in changed if "reload firewalld" in change or change == "reload"]
    assert [each for each in second.values() if each[1] or "wrote" in each[0]] == []


def test_keystone_keys_that_are_missing_are_written_and_others_left_alone(machine: StandIn) -> None:
    """As when a run was killed between two of them, or somebody has changed one since."""
    keys = commands("controller1")["keystone-controller1-keys"]
    directory = machine.root / "etc/keystone/credential-keys"
    machine.library("true")
    (machine.root / "usr/local/sbin/keystone-token-keys").symlink_to("/bin/true")
    assert machine.run(keys.inputs["create"], keys.inputs["stdin"]).returncode == 0
    first, second = ((directory / name).read_text() for name in ("0", "1"))
    assert len(first) == len(second) == 44
    (directory / "0").write_text("changed")
    (directory / "1").unlink()
    assert machine.run(keys.inputs["create"], keys.inputs["stdin"]).returncode == 0
    assert (directory / "0").read_text() == "changed"
    assert (directory / "1").read_text() == second
    assert sorted(file.name for file in directory.iterdir()) == ["0", "1"]


@pytest.mark.parametrize(
    ("environment", "state"),
    [({}, ",203.0.113.5,2,,-0.001234,Normal\n"), ({"SILENT": "1"}, "no answer from time1.aliyun.com\n")],
)
def test_a_clock_tells_its_state_as_chrony_would(machine: StandIn, environment: dict[str, str], state: str) -> None:
    site = stacks.load("lab", release="train-centos7").site
    assert machine.run(site.release.clock(site, site.topology.nodes[0]), **environment).stdout == state


def test_every_file_is_labelled_also_where_a_killed_run_has_written_it(machine: StandIn) -> None:
    script = "file /etc/keystone/keystone.conf root:keystone 0640 <<'CONTENT'\ntext\nCONTENT\n"
    label = f"-F {machine.root}/etc/keystone/keystone.conf\n"
    for said in (f"wrote {machine.root}/etc/keystone/keystone.conf\n", ""):
        assert machine.library(script).stdout == said
        assert (machine.root / "labelled").read_text() == label
        (machine.root / "labelled").unlink()


def test_packages_that_the_archive_does_not_have_are_named(machine: StandIn) -> None:
    done = machine.library("install_centos keys httpd no-such-package", UNKNOWN="no-such-package")
    assert done.returncode == 1
    assert "not in the archive: no-such-package" in done.stderr


def test_the_firewall_closes_what_its_file_no_longer_opens_and_keeps_the_rest(machine: StandIn) -> None:
    def fill(*ports: int) -> list[str]:
        rules = "".join(f'rule family="ipv4" port port="{port}" protocol="tcp" accept\n' for port in ports)
        (machine.root / "etc/firewall").write_text(f"# name\n{rules}")
        done = machine.library("firewall_centos /etc/firewall br0")
        assert done.returncode == 0, done.stderr
        return machine.changes()

    assert len(fill(22, 80)) == 2 * (2 + 2 + 2)
    assert sorted(fill(22, 443)) == [
        'permanent + rule family="ipv4" port port="443" protocol="tcp" accept',
        'permanent - rule family="ipv4" port port="80" protocol="tcp" accept',
        'runtime + rule family="ipv4" port port="443" protocol="tcp" accept',
        'runtime - rule family="ipv4" port port="80" protocol="tcp" accept',
    ]
    assert fill(22, 443) == []


def test_booleans_that_are_on_are_left_alone(machine: StandIn) -> None:
    for expected in (["setsebool haproxy_connect_any"], []):
        assert machine.library("selinux_allows haproxy_connect_any").returncode == 0
        assert machine.changes() == expected
