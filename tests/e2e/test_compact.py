"""The compact lab from nothing to nothing, in the order of these tests, on real machines."""

import gzip
import json
import re
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import CHECKOUT, NODES, STACK, Lab, Processes, kill_engine_of, wait_for_line
from tools import paths
from tools.verify import checks

pytestmark = pytest.mark.machine

UP_SECONDS = 3000
SCREENSHOTS = paths.STATE / "screenshots"


@pytest.fixture(scope="module")
def lab(settings: dict[str, str]) -> Iterator[Lab]:
    """A lab in a checkout of its own, all of which is gone afterwards."""
    lab = Lab(settings)
    yield lab
    if (CHECKOUT / ".venv").exists():
        lab.make("clean", "YES=1", seconds=300)


@pytest.fixture(scope="module")
def processes() -> Processes:
    """What the process list showed during the first `up`."""
    return Processes()


def changes(steps: list[dict[str, Any]]) -> dict[str, str]:
    """Name -> operation of every step but the stack's own."""
    return {step["urn"].rpartition("::")[2]: step["op"] for step in steps if "pulumi:pulumi:Stack" not in step["urn"]}


def test_an_up_that_was_killed_is_completed_by_the_next_one(lab: Lab, processes: Processes) -> None:
    """Engine and plugins die while machines boot and services are half set up; no step by hand is needed."""
    with processes.watched():
        with lab.making("up") as first:
            wait_for_line(first, r"-login created", UP_SECONDS, count=len(NODES))
            lab.watch_processes()
            wait_for_line(first, r"rabbitmq-controller1-files created", UP_SECONDS)
            killed = kill_engine_of(first.pid)
        assert "pulumi" in killed
        assert len([name for name in killed if name.startswith("pulumi-resource")]) >= 2
        output = lab.make("up", seconds=UP_SECONDS)
    assert {check for check in checks.CHECKS if f"│ {check} " not in output} == set()
    assert re.search(r"\n\d+ right, 0 wrong in ", output)
    for node in NODES:
        processes.on_nodes[node] = lab.processes(node)
    assert "keystone-manage bootstrap" in processes.on_nodes["controller1"]


def test_a_second_up_changes_nothing_and_restarts_nothing(lab: Lab) -> None:
    """Every resource is the same, and every unit has run since the same moment."""
    before = lab.started()
    assert "controller1 keystone.service" in before
    assert "node1 nova-compute.service" in before
    assert re.search(r"Resources:\n +\d+ unchanged\n", lab.up())
    assert lab.started() == before


def test_no_start_has_systemd_read_all_units_anew(lab: Lab) -> None:
    """It answers nobody meanwhile, for 2 to 25 s in an emulated machine."""
    for node in NODES:
        assert "Reloading" not in lab.on(node, "journalctl -b -o cat _PID=1")


def test_somebody_logs_in_to_a_machine(lab: Lab) -> None:
    """As root, by the machine's name; the key is in no file afterwards."""
    output = lab.make("ssh", "NODE=node1", "RUN=id --user --name; hostname --fqdn", seconds=120)
    assert output.endswith("root\nopenstack-node1.magedu.local\n")
    assert list((CHECKOUT / ".lab").glob("login-*")) == []


def test_a_refresh_of_a_healthy_lab_changes_nothing(lab: Lab) -> None:
    """What Pulumi knows is what is there."""
    output = lab.inside("pulumi", "refresh", "--stack", STACK, "--yes", "--non-interactive", seconds=600)
    assert re.search(r"Resources:\n +\d+ unchanged\n", output), output[-2000:]


def test_a_preview_of_one_option_shows_its_line_and_one_restart(lab: Lab) -> None:
    """`debug` of Glance: one file with one new line, one restart."""
    lab.set_option("true")
    steps = lab.preview()
    assert changes(steps) == {"glance-controller1-files": "update", "glance-controller1-start": "replace"} | {
        name: op for name, op in changes(steps).items() if op in ("create-replacement", "delete-replaced")
    }
    (update,) = (step for step in steps if step["op"] == "update")
    old, new = (update[state]["inputs"]["create"].splitlines() for state in ("oldState", "newState"))
    assert [line for line in new if line not in old] == ["debug = true"]
    assert len(new) == len(old) + 1


def test_up_does_exactly_what_the_preview_showed(lab: Lab) -> None:
    """Glance alone runs anew, with the option in its file."""
    before = lab.started()
    lab.up()
    after = lab.started()
    assert {unit for unit in before | after if before.get(unit) != after.get(unit)} == {
        "controller1 glance-api.service"
    }
    assert "debug = true" in lab.on("controller1", "cat /etc/glance/glance-api.conf")


def test_the_tenant_s_instance_is_all_that_it_should_be(lab: Lab) -> None:
    """ACTIVE with an address from the pool; console, ping, SSH, host name and key by metadata, DNS."""
    findings = lab.cloud("examine", "vm1")
    assert [finding for finding in findings if not finding["ok"]] == []
    subjects = [finding["subject"] for finding in findings]
    assert subjects == ["boot", "ping", "console log", "console", "SSH", "hostname", "metadata", "DNS"]


def test_a_browser_sees_dashboard_console_and_statistics(lab: Lab) -> None:
    """As both users do; the pictures stay."""
    output = lab.inside("python", "-m", "tests.e2e.browser", STACK, str(SCREENSHOTS), seconds=1500)
    pages = json.loads(output[output.index("{") :])
    assert [name for name, shows in pages.items() if shows.get("alerts")] == []
    assert (pages["projects"]["user"], pages["projects"]["project"]) == ("admin", "admin")
    assert {"myproject", "service"} <= {row["Name"] for row in pages["projects"]["rows"]}
    assert pages["instances"]["user"] == "myuser"
    assert [row["Instance Name"] for row in pages["instances"]["rows"]] == ["vm1"]
    assert pages["instance"]["fields"]["Status"] == "Active"
    assert pages["console"]["colours"] > 1
    assert pages["console"]["status"].startswith("Connected")
    servers = {name: status for name, status in pages["statistics"]["status"].items() if "/172.16." in name}
    assert len(servers) > 10
    assert all(status.endswith(" UP") for status in servers.values()), servers
    assert {file.stem for file in SCREENSHOTS.glob("*.png")} >= {"instances", "console", "statistics"}


def test_a_compute_node_joins_without_a_restart_elsewhere(lab: Lab) -> None:
    """One machine and its services, names on the others; then it takes an instance."""
    before = lab.started()
    lab.switch("node2", on=True)
    planned = changes(lab.preview())
    elsewhere = {name for name in planned if "node2" not in name}
    agent = elsewhere & {"neutron-linuxbridge-reported", "neutron-openvswitch-reported"}
    assert len(agent) == 1
    assert elsewhere - agent == {
        *("controller1-login", "node1-login", "nova-compute-discover"),
        *("firewall-controller1-files", "firewall-controller1-start"),
    }
    lab.up()
    assert lab.started() == before
    known = lab.cloud("boot", "on-node2", "openstack-node2.magedu.local")
    assert "openstack-node2.magedu.local" in known["providers"]


def test_a_compute_node_with_instances_does_not_leave(lab: Lab) -> None:
    """It names them, and everything stays."""
    lab.switch("node2", on=False)
    with pytest.raises(AssertionError, match=r"openstack-node2\.magedu\.local still holds instances: on-node2"):
        lab.up()
    assert "openstack-node2" in lab.inside("virsh", "list", "--name")


def test_a_compute_node_leaves_without_a_trace(lab: Lab) -> None:
    """Its compute service, agent and resource provider go, then its machine."""
    lab.cloud("delete", "on-node2")
    lab.up()
    assert "node2" not in json.dumps(lab.cloud("hosts"))
    assert "openstack-node2" not in lab.inside("virsh", "list", "--all", "--name")


def test_an_instance_that_is_switched_off_leaves_nothing(lab: Lab) -> None:
    """No server, and of it no port, no allocation and no disk."""
    outputs = json.loads(lab.inside("pulumi", "stack", "export", "--stack", STACK))["deployment"]["resources"]
    (server,) = (each["id"] for each in outputs if each["urn"].endswith("::vm1"))
    assert len(lab.cloud("traces", server)) == 3
    lab.set_instance(on=False)
    assert set(changes(lab.preview()).values()) == {"delete"}
    lab.up()
    assert lab.cloud("traces", server) == []


def test_neutron_leaves_the_addresses_of_a_node_alone(lab: Lab) -> None:
    """What has the end of the veth pair, bridge or switch, has neither the node's address nor the virtual one."""
    for node, addresses in (("controller1", ["172.16.0.101", "172.16.0.248"]), ("node1", ["172.16.0.107"])):
        links = json.loads(lab.on(node, "ip -json -4 address"))
        held = {link["ifname"]: [each["local"] for each in link["addr_info"]] for link in links}
        assert sorted(held["br0"]) == addresses
        (end,) = json.loads(lab.on(node, "ip -json link show prov0"))
        assert end["master"].startswith(("brq", "ovs-system"))
        assert not held.get(end["master"])


def test_no_secret_shows_in_state_logs_or_process_lists(lab: Lab, processes: Processes) -> None:
    """Every password, every line of every private key and the master secret, searched everywhere."""
    secrets = lab.secrets()
    assert len(secrets) > 12
    places = {f"process: {line[:80]}": line for line in processes.seen}
    assert (CHECKOUT / ".lab").stat().st_mode & 0o077 == 0
    for file in [*(CHECKOUT / ".lab").rglob("*"), *CHECKOUT.glob("Pulumi.*.yaml")]:
        # The machines' disks hold what the machines need; the client files are their owner's alone.
        apart = {"pool", "openrc", "plugins"} & set(file.parts)
        if file.is_file() and not apart:
            data = file.read_bytes()
            places[str(file)] = (gzip.decompress(data) if file.suffix == ".gz" else data).decode(errors="replace")
    for node in NODES:
        places[f"journal of {node}"] = lab.on(node, "journalctl --no-pager -o cat")
        places[f"processes of {node}"] = processes.on_nodes[node]
        places[f"logs of {node}"] = lab.on(node, "cat $(find /var/log -type f -name '*.log') 2>/dev/null || true")
    assert len(places) > 20
    leaks = {place for place, text in places.items() for secret in secrets if secret in text}
    assert leaks == set()


def test_client_files_are_for_their_owner_only(lab: Lab) -> None:
    """They hold passwords and a key in clear."""
    files = sorted((CHECKOUT / ".lab" / "openrc" / STACK).iterdir())
    assert [file.name for file in files] == ["admin-openrc", "demo-key", "demo-openrc"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert "demo-openrc" in lab.inside("pulumi", "stack", "output", "clients", "--stack", STACK)


def test_a_bundle_of_logs_holds_no_secret(lab: Lab) -> None:
    """Journals, logs and configuration of both nodes, for its owner only."""
    lab.make("logs", seconds=300)
    bundle = max((CHECKOUT / ".lab" / "logs").glob("*.tar.gz"))
    assert bundle.stat().st_mode & 0o777 == 0o600
    with tarfile.open(bundle) as archive:
        texts = {
            member.name: archive.extractfile(member).read().decode(errors="replace")  # type: ignore[union-attr]
            for member in archive.getmembers()
            if member.isfile()
        }
    assert any("nova.conf" in name for name in texts)
    secrets = lab.secrets()
    assert {name for name, text in texts.items() for secret in secrets if secret in text} == set()


def test_the_virtual_address_comes_back_after_a_reboot_and_is_held_once(lab: Lab) -> None:
    """Keepalived is MASTER on the machine's bridge; no other interface and no other node has the address."""
    boot = lab.on("controller1", "cat /proc/sys/kernel/random/boot_id")
    lab.inside("virsh", "reset", "openstack-controller1")
    deadline = time.monotonic() + 600
    while True:
        with suppress(AssertionError):
            said = lab.on("controller1", "cat /proc/sys/kernel/random/boot_id; journalctl -b -o cat -u keepalived")
            if boot not in said and "Entering MASTER STATE" in said:
                break
        assert time.monotonic() < deadline, "keepalived is not MASTER 600 s after the reset of controller1"
        time.sleep(5)
    held = {node: lab.on(node, "ip -4 -brief address show to 172.16.0.248").split() for node in NODES}
    assert [words[0] for words in held.values() if words] == ["br0"]
    assert held["node1"] == []


def test_a_boot_that_is_not_the_first_does_without_cloud_init(lab: Lab) -> None:
    """Its disk is the one that it has seen; its answer to who waits for it is there all the same."""
    assert lab.on("controller1", "ls /run/cloud-init").split() == ["result.json", "status.json"]
    assert "status: done" in lab.on("controller1", "cloud-init status --wait")


def test_destroy_leaves_nothing(lab: Lab) -> None:
    """No machine, volume, network, interface, translation rule or file of it."""
    lab.make("destroy", "YES=1", seconds=300)
    assert lab.inside("virsh", "list", "--all", "--name").strip() == ""
    assert lab.inside("virsh", "net-list", "--all", "--name").strip() == ""
    assert lab.inside("virsh", "vol-list", lab.pool()).strip().splitlines()[2:] == []
    links = {link["ifname"] for link in json.loads(lab.inside("ip", "-json", "link"))}
    assert links == {"lo"}
    assert "172.16.0.0" not in lab.inside("iptables-save")
    assert not (CHECKOUT / ".lab" / "openrc" / STACK / "admin-openrc").exists()
    assert (
        json.loads(lab.inside("pulumi", "stack", "export", "--stack", STACK))["deployment"].get("resources", []) == []
    )


def test_clean_ends_every_process_of_it(lab: Lab) -> None:
    """Hypervisor, namespace and sockets are gone as well."""
    uri = json.loads((CHECKOUT / ".lab" / "host.json").read_text())["libvirt_uri"]
    socket = Path(uri.partition("socket=")[2])
    namespace = socket.parent.name
    lab.make("clean", seconds=300)
    assert not socket.exists()
    assert not Path("/run/netns", namespace).exists()
    running = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            running[file.parent.name] = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    left = [words for words in running.values() if str(CHECKOUT) in words and "pytest" not in words]
    assert left == []
