"""What the lab gets over, each fault on real machines. Every test begins with a lab that is whole."""

import json
import random
import re
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.e2e.lab import CHECKOUT, NODES, STACK, engine_of, kill_engine_of, wait_for_line
from tests.faults import leaks
from tests.faults.conftest import START, UP_SECONDS, Faulty

pytestmark = pytest.mark.faults

REBOOT_SECONDS = 600
RESTORE_SECONDS = 180

POWER_OFF = """
import os, shutil, signal
from tools import paths
from tools.hypervisor import namespace, private
daemons = [private.pid(name) for name in ("libvirtd", "virtlogd")]
machines = [int(file.read_text()) for file in (paths.RUN / "libvirt" / "qemu").glob("*.pid")]
for process in daemons + machines:
    os.kill(process, signal.SIGKILL)
namespace.remove()
shutil.rmtree(paths.RUN)
"""
"""What the end of the host leaves of a private hypervisor: files on the disk, and nothing else."""


def test_a_snapshot_brings_back_what_was_changed_and_lost(faulty: Faulty) -> None:
    """A machine and its disk are gone, a file is another: in three minutes all is as it was."""
    lab = faulty.lab
    lab.on("node1", "echo changed >/etc/nova/nova.conf")
    lab.inside("virsh", "destroy", "openstack-controller1")
    lab.inside("virsh", "undefine", "openstack-controller1")
    (CHECKOUT / ".lab" / "pool" / "openstack-controller1.qcow2").unlink()
    with faulty.timed("machine and disk lost, a file changed", "restored and green"):
        begun = time.monotonic()
        faulty.back()
        assert time.monotonic() - begun < RESTORE_SECONDS
    assert faulty.planned() == []


def test_a_snapshot_begins_another_stack(faulty: Faulty) -> None:
    """With a state of its own, which agrees with the machines; both cannot be up at once."""
    lab, twin = faulty.lab, "STACK=twin"
    lab.make("clone", f"NAME={START}", "TO=twin", seconds=300)
    lab.make("destroy", "YES=1", seconds=300)
    with faulty.timed("none", "another stack, green"):
        lab.make("restore", twin, f"NAME={START}", seconds=1200)
    assert lab.preview("twin") == []
    lab.make("destroy", twin, "YES=1", seconds=300)
    lab.make("snapshots", twin, f"DELETE={START}", seconds=60)
    faulty.back()


@pytest.mark.parametrize("step", ["stop", "disks", "memory"])
def test_a_restore_that_is_killed_is_repeated(faulty: Faulty, step: str) -> None:
    """Until then nothing takes the lab for one that could go on."""
    lab = faulty.lab
    with lab.making("restore", f"NAME={START}") as restore:
        wait_for_line(restore, rf"^==> {step}:", 300)
        time.sleep(2)  # well into it
        assert restore.poll() is None
    for refused in (["up"], ["snapshot", "NAME=half"]):
        with pytest.raises(AssertionError, match="its restore was broken off"):
            lab.make(*refused, seconds=300)
    with faulty.timed(f"restore killed at its step {step}", "restored and green"):
        faulty.back()
    assert faulty.planned() == []


def test_all_machines_come_back_after_a_reset(faulty: Faulty) -> None:
    """As after a power failure; nobody does anything. The tenant's instance runs again, too."""
    machines = faulty.lab.inside("virsh", "list", "--name").split()
    with faulty.timed("all machines reset at once", "green"):
        for machine in machines:
            faulty.lab.inside("virsh", "reset", machine)
        faulty.wait_until_green(REBOOT_SECONDS)
    with faulty.timed("all machines reset at once", "instance: SSH and all"):
        faulty.wait_for_instance()


def test_the_lab_comes_back_with_its_hypervisor(faulty: Faulty) -> None:
    """`make setup` starts the private one after the host was switched off, and the machines with it."""
    with faulty.timed("host switched off", "green after make setup"):
        subprocess.run([sys.executable, "-c", POWER_OFF], cwd=CHECKOUT, check=True)
        faulty.lab.make("setup", seconds=120)
        faulty.wait_until_green(REBOOT_SECONDS)
    with faulty.timed("host switched off", "instance: SSH and all"):
        faulty.wait_for_instance()


HANG = """
sysctl --quiet kernel.sched_rt_runtime_us=-1
for processor in $(seq 0 $(($(nproc) - 1))); do
    systemd-run --quiet --no-block chrt --fifo 99 taskset --cpu-list "$processor" bash -c 'while :; do :; done'
done
"""
"""Leaves the kernel of a machine no processor: what its users see of a machine that hangs."""


def test_a_machine_that_hangs_boots_anew(faulty: Faulty) -> None:
    """Nobody does anything."""
    boot = faulty.lab.on("node1", "cat /proc/sys/kernel/random/boot_id")
    with faulty.timed("machine hangs", "booted anew, green"):
        # The answer may not get through any more.
        with suppress(AssertionError):
            faulty.lab.on("node1", HANG)
        time.sleep(120)
        faulty.wait_until_green(REBOOT_SECONDS)
    assert faulty.lab.on("node1", "cat /proc/sys/kernel/random/boot_id") != boot


FILL = """
fallocate --length $(($(stat --file-system --format '%f * %S' /) - 64 * 1024 * 1024)) /filler
dd if=/dev/zero of=/filler bs=1M oflag=append conv=notrunc 2>/dev/null || true
sync
"""
"""To the last block; writing all of it would take many minutes."""


OVER_SECONDS = 1500
"""What is left of an `up` has ended by then, in one way or the other."""


@pytest.mark.parametrize(
    ("fault", "moment", "on", "script", "remedy"),
    [
        ("machine switched off", "nova-compute-node1-files", "", "virsh destroy openstack-node1", ""),
        ("machine with the VIP reset", "keystone-controller1-start", "", "virsh reset openstack-controller1", ""),
        (
            "network of a machine cut for a minute",
            "neutron-linuxbridge-node1-files",
            "",
            "virsh domif-setlink openstack-node1 52:54:ac:10:00:6b down; sleep 60; "
            "virsh domif-setlink openstack-node1 52:54:ac:10:00:6b up",
            "",
        ),
        ("RabbitMQ killed", "rabbitmq-controller1-start", "controller1", "pkill --signal KILL beam.smp", ""),
        ("MariaDB killed", "keystone-bootstrap", "controller1", "pkill --signal KILL mariadbd", ""),
        ("disk full", "glance-controller1-files", "controller1", FILL, "rm /filler"),
    ],
)
def test_an_up_gets_over_what_happens_meanwhile(
    faulty: Faulty, fault: str, moment: str, on: str, script: str, remedy: str
) -> None:
    """One that makes the lab from nothing, once that resource is there and the faulty machine has more to do.

    It may fail, and the next one completes. Only a full disk has to be emptied by somebody.
    """
    lab = faulty.lab
    lab.make("destroy", "YES=1", seconds=300)
    with lab.making("up") as first:
        wait_for_line(first, rf" {moment} created \(", UP_SECONDS)
        if on:
            lab.on(on, script)
        else:
            lab.inside("sh", "-c", script)
        assert "pulumi" in engine_of(first.pid).values()
        with faulty.timed(f"{fault}, in mid-up", "that up is over"):
            first.communicate(timeout=OVER_SECONDS)
    if remedy:
        lab.on(on, remedy)
    with faulty.timed(f"{fault}, in mid-up", "up, green"):
        lab.make("up", seconds=UP_SECONDS)
    assert faulty.planned() == []


DRIFT = {
    "controller1": """
        echo debug = true >>/etc/glance/glance-api.conf
        systemctl disable --quiet --now haproxy nova-scheduler
        mysql -e "REVOKE ALL PRIVILEGES ON placement.* FROM 'placement'@'%'"
        mysql keystone -e "UPDATE endpoint SET url = 'http://192.0.2.1' WHERE interface = 'public' AND url LIKE '%:9292'
          ; DELETE assignment FROM assignment JOIN local_user ON actor_id = user_id WHERE name = 'neutron'"
        echo flush_all >/dev/tcp/172.16.0.101/11211  # where Keystone remembers its catalog
    """,
    "node1": "rm /etc/nova/nova.conf",
}
"""What a hand may do, by machine."""
NAMED = {
    "files controller1: /etc/glance/glance-api.conf was changed",
    "files node1: /etc/nova/nova.conf is missing",
    "grants placement: lost: placement@% on placement",
}
"""What verify says of it while HAProxy is off."""
NAMED_BEHIND = {
    "roles neutron: does not have role admin in service",
    "catalog glance: public is http://192.0.2.1",
}
"""What can be asked only once it is on again."""


def test_a_repair_brings_back_what_was_changed_by_hand(faulty: Faulty) -> None:
    """Each change is named; no other service is restarted, and the engine has nothing left to do."""
    lab = faulty.lab
    before = lab.started()
    for node, script in DRIFT.items():
        lab.on(node, script)
    wrong = set(faulty.wrong())
    assert wrong >= NAMED
    for service, unit in (("haproxy", "haproxy"), ("nova", "nova-scheduler")):
        assert any(row.startswith(f"units {service}: controller1: {unit}.service is inactive") for row in wrong)
    with faulty.timed("two files, two units, a grant, a role, an endpoint changed", "repaired and green"):
        output = lab.make("repair", "YES=1", seconds=UP_SECONDS)
    assert [row for row in NAMED | NAMED_BEHIND if f"\n{row}" not in output] == []
    after = lab.started()
    assert {unit for unit in before | after if before.get(unit) != after.get(unit)} == {
        *("controller1 glance-api.service", "controller1 haproxy.service", "controller1 nova-scheduler.service"),
        *("node1 libvirtd.service", "node1 nova-compute.service"),
    }
    assert faulty.planned() == []


def test_a_repair_brings_back_a_removed_package_without_a_mirror(faulty: Faulty) -> None:
    """With its files as the lab wrote them."""
    lab = faulty.lab
    lab.on("controller1", "dpkg --purge --force-depends haproxy memcached")
    assert {"packages controller1: not installed: haproxy, memcached"} <= set(faulty.wrong())
    with faulty.timed("two packages removed", "repaired and green"):
        lab.make("repair", "YES=1", seconds=UP_SECONDS)
    assert faulty.wrong() == []
    assert faulty.planned() == []


CATALOG = "mysql --batch -e 'SELECT * FROM keystone.service; SELECT * FROM keystone.endpoint'"


def test_a_backup_brings_a_dropped_database_back(faulty: Faulty) -> None:
    """With just what was in it."""
    lab = faulty.lab
    catalog = lab.on("controller1", CATALOG)
    with faulty.timed("none", "backup"):
        lab.make("backup", "NAME=before", seconds=300)
    # Whoever has a transaction open, as Keystone has, holds on to its tables.
    lab.on("controller1", "mysql -e 'KILL USER keystone; DROP DATABASE keystone; DELETE FROM glance.image_properties'")
    assert faulty.wrong()
    with faulty.timed("database dropped", "restored from backup, green"):
        lab.make("restore-db", "NAME=before", seconds=1200)
    assert lab.on("controller1", CATALOG) == catalog
    assert faulty.planned() == []


APIS = ("keystone", "glance-api", "placement-api", "nova-api", "neutron-api", "neutron-rpc-server")
"""Units; restarted all at once, as a rotation does at the most."""


def test_rotation_leaves_old_passwords_without_use(faulty: Faulty) -> None:
    """No machine is made anew, no API is out for longer than its restart, and who knew the old ones is refused."""
    lab = faulty.lab
    client = (CHECKOUT / ".lab" / "openrc" / STACK / "admin-openrc").read_text()
    read = "sed -n 's/.*glance:\\(.*\\)@openstack-vip.*/\\1/p' /etc/glance/glance-api.conf"
    password = lab.on("controller1", read).strip()
    keys = "sha256sum </etc/keystone/fernet-keys/2; sha256sum </etc/keystone/credential-keys/1"
    tokens, credentials = lab.on("controller1", keys).splitlines()
    machines = lab.inside("virsh", "list", "--uuid")
    with lab.probed() as restarted:
        lab.on("controller1", f"systemctl restart {' '.join(APIS)}")
        faulty.wait_until_green(REBOOT_SECONDS)
    with lab.probed() as rotated, faulty.timed("secret known", "rotated and green"):
        lab.make("rotate", "YES=1", seconds=UP_SECONDS)
    for fault, told in (("APIs restarted by hand", restarted), ("secret rotated", rotated)):
        assert min(found["asked"] for found in told.values()) > 10
        faulty.results += [(f"{fault}, {name}", "no answer", found["lost"]) for name, found in told.items()]
        faulty.notes += [
            f"{times} times, {fault}: {error}" for found in told.values() for error, times in found["errors"].items()
        ]
    assert [name for name, found in rotated.items() if found["lost"] > 2 * restarted[name]["lost"] + 30] == []
    assert lab.inside("virsh", "list", "--uuid") == machines
    assert lab.on("controller1", read).strip() not in ("", password)
    assert lab.on("controller1", keys).splitlines()[0] != tokens
    assert lab.on("controller1", keys).splitlines()[1] == credentials
    ask = f"MYSQL_PWD={password} mysql -u glance -h openstack-vip.magedu.local -e 'SELECT 1' 2>&1 || true"
    assert "Access denied" in lab.on("controller1", ask)
    (CHECKOUT / ".lab" / "old-openrc").write_text(client)
    with pytest.raises(AssertionError, match="HTTP 401"):
        lab.inside(
            "python",
            "-c",
            "from pathlib import Path; from tools.verify import cloud; cloud.login(Path('.lab/old-openrc'))",
        )
    faulty.back()


def test_a_rotated_password_restarts_the_service_that_has_it(faulty: Faulty) -> None:
    """And nothing else; the former one is refused."""
    lab = faulty.lab
    read = "sed -n 's/^connection = .*glance:\\(.*\\)@.*/\\1/p' /etc/glance/glance-api.conf"
    password, before = lab.on("controller1", read).strip(), lab.started()
    with faulty.timed("one password known", "rotated and green"):
        lab.make("rotate", "NAME=glance_database_password", "YES=1", seconds=UP_SECONDS)
    after = lab.started()
    assert {unit for unit in before | after if before.get(unit) != after.get(unit)} == {
        "controller1 glance-api.service"
    }
    assert lab.on("controller1", read).strip() not in ("", password)
    ask = f"MYSQL_PWD={password} mysql -u glance -h openstack-vip.magedu.local -e 'SELECT 1' 2>&1 || true"
    assert "Access denied" in lab.on("controller1", ask)
    assert faulty.planned() == []
    faulty.back()


def test_tokens_outlive_one_weekly_change_of_keys_and_no_second(faulty: Faulty) -> None:
    """Which comes on Thursdays by itself. 404 is what Keystone says of a token that it cannot read."""
    output = faulty.lab.inside("python", "-m", "tests.faults.token_keys", STACK, seconds=600)
    found = json.loads(output[output.index("{") :])
    assert re.fullmatch(r"Thu .* 00:00:00 UTC", found["next"])
    assert found["answers"] == [200, 200, 404, 200]


def test_nothing_takes_in_more_than_the_catalogue_says(faulty: Faulty) -> None:
    """Tried from both networks, from an instance and between nodes, port by port; what is closed to all is there."""
    lab = faulty.lab
    address = lab.inside("pulumi", "stack", "output", "instance", "--stack", STACK).strip()
    output = lab.inside("python", "-m", "tests.faults.listening", STACK, address, seconds=1800)
    found = json.loads(output[output.index("{") :])
    assert found["host"]["open"] == found["host"]["names"]
    assert found["instance"]["open"] == found["instance"]["names"]
    for node in NODES:
        assert found[node]["open"] == found[node]["names"], node
    # RabbitMQ is there for a compute node; what holds the cloud's data is not.
    ports = {place.partition(":")[2] for place in found["node1"]["open"]}
    assert "5672" in ports
    assert not {"3306", "11211"} & ports
    assert found["tried"] > len(found["host"]["open"]) > len(found["instance"]["open"]) > 0


def test_nobody_is_let_in_with_a_password_of_the_guide(faulty: Faulty) -> None:
    """Neither Keystone, nor database, queue or SSH."""
    output = faulty.lab.inside("python", "-m", "tests.faults.passwords", STACK, seconds=1800)
    found = json.loads(output[output.index("{") :])
    assert {"keystone admin", "keystone myuser", "database glance", "queue openstack"} <= set(found["own"])
    assert found["tried"] > 2 * len(found["own"])
    assert found["guide"] == []


def test_no_file_that_anybody_may_read_holds_a_secret(faulty: Faulty) -> None:
    """Neither on a node, nor beside the disks of a snapshot, nor in a backup."""
    lab = faulty.lab
    lab.make("backup", "NAME=leaks", seconds=300)
    output = lab.inside("python", "-m", "tests.faults.leaks", STACK, seconds=1800)
    for node, found in json.loads(output[output.index("{") :]).items():
        assert found["hold"] == [leaks.FOUND], node
        assert found["read"] > 100, node
    secrets = [secret.encode() for secret in lab.secrets()]
    kept = [
        file for kind in ("snapshots", "backups") for file in (CHECKOUT / ".lab" / kind).rglob("*") if file.is_file()
    ]
    assert {file.stat().st_mode & 0o077 for file in kept} == {0}
    texts = {file: file.read_bytes() for file in kept if file.stat().st_size < 16 * 1024**2}
    assert {file.suffix for file in texts} >= {".backup", ".yaml", ".json"}
    holding = {file.parent.name for file, text in texts.items() if any(secret in text for secret in secrets)}
    assert holding == {"clients", "volumes"}  # the openrc files and the cloud-init disks, as they are


LOAD = 200


def test_nothing_that_was_made_is_lost_under_load(faulty: Faulty) -> None:
    """While one service after the other restarts, clients see errors, which are counted; what was made is there."""
    with faulty.timed(f"{LOAD} of each under load", "nothing lost"):
        output = faulty.lab.inside("python", "-m", "tests.faults.load", STACK, str(LOAD), seconds=3600)
    found = json.loads(output[output.index("{") :])
    faulty.notes += [
        f"{each} times while {service} was restarted: {error}"
        for service, errors in found["errors"].items()
        for error, each in errors.items()
    ]
    assert found["requests"] == 5 * LOAD
    assert found["lost"] == []
    assert "nothing" not in found["errors"]
    assert set(found["errors"]) & {"haproxy", "glance", "mariadb"}
    assert sum(found["made"].values()) > LOAD
    faulty.wait_until_green(REBOOT_SECONDS)
    faulty.back()


KILLS = 12


@pytest.mark.parametrize("phase", range(KILLS))
def test_an_up_that_is_killed_is_completed_by_the_next_one(faulty: Faulty, phase: int) -> None:
    """At a moment drawn from each twelfth of all resources; engine and plugins get no chance to say a word."""
    resources = faulty.lab.resources()
    first, last = (resources * each // KILLS for each in (phase, phase + 1))
    moment = random.Random(f"{faulty.seed} {phase}").randrange(max(1, first), last)
    faulty.lab.make("destroy", "YES=1", seconds=300)
    with faulty.lab.making("up") as up:
        wait_for_line(up, r" created \(", UP_SECONDS, count=moment)
        assert "pulumi" in kill_engine_of(up.pid)
    with faulty.timed(f"up killed after {moment} of {resources} resources", "up, green"):
        faulty.lab.make("up", seconds=UP_SECONDS)
    assert faulty.planned() == []


BROKEN = {
    "all machines off": "for each in $(virsh list --name); do virsh destroy $each; done",
    "all machines hang": "for each in $(virsh list --name); do virsh suspend $each; done",
    "machine removed by hand": "virsh destroy openstack-node1; virsh undefine openstack-node1",
    "network removed by hand": "virsh net-destroy vmbr1; virsh net-undefine vmbr1",
    "disk removed by hand": "virsh destroy openstack-node1; virsh vol-delete openstack-node1.qcow2 --pool $1",
    "no API answers": "python -m tests.e2e.on_node $2 controller1 'systemctl stop haproxy keystone apache2 mariadb'",
}


@pytest.mark.parametrize("fault", BROKEN)
def test_destroy_leaves_nothing_whatever_is_broken(faulty: Faulty, fault: str) -> None:
    """And afterwards the snapshot brings everything back."""
    faulty.lab.inside("sh", "-c", BROKEN[fault], "sh", faulty.lab.pool(), STACK)
    faulty.destroy(fault)
    with faulty.timed("destroyed", "restored and green"):
        faulty.back()
    assert faulty.planned() == []


@pytest.mark.parametrize("fault", ["machine removed by hand", "network removed by hand", "disk removed by hand"])
def test_an_up_makes_again_what_was_removed_by_hand(faulty: Faulty, fault: str) -> None:
    """On the machine that does not hold the cloud's data."""
    lab = faulty.lab
    lab.inside("sh", "-c", BROKEN[fault], "sh", lab.pool(), STACK)
    with faulty.timed(fault, "up, green"):
        lab.make("up", seconds=UP_SECONDS)
    assert faulty.planned() == []
    faulty.wait_for_instance()
    faulty.back()


def test_destroy_leaves_nothing_of_an_up_that_was_killed(faulty: Faulty) -> None:
    """Machines boot, services are half set up, and the engine never got to write down what it was doing."""
    faulty.lab.make("destroy", "YES=1", seconds=600)
    with faulty.lab.making("up") as up:
        wait_for_line(up, r"rabbitmq-controller1-files created", UP_SECONDS)
        assert "pulumi" in kill_engine_of(up.pid)
    faulty.destroy("up killed")
    faulty.back()
