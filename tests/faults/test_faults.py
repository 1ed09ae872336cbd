"""What the lab gets over, each fault on real machines. Every test begins with a lab that is whole."""

import subprocess
import sys
import time

import pytest

from tests.e2e.lab import CHECKOUT
from tests.faults.conftest import Faulty

pytestmark = pytest.mark.faults

DESTROY_SECONDS = 60
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


def test_all_machines_come_back_after_a_reset(faulty: Faulty) -> None:
    """As after a power failure; nobody does anything."""
    machines = faulty.lab.inside("virsh", "list", "--name").split()
    with faulty.timed("all machines reset at once", "green"):
        for machine in machines:
            faulty.lab.inside("virsh", "reset", machine)
        faulty.wait_until_green(REBOOT_SECONDS)


def test_the_lab_comes_back_with_its_hypervisor(faulty: Faulty) -> None:
    """`make setup` starts the private one after the host was switched off, and the machines with it."""
    with faulty.timed("host switched off", "green after make setup"):
        subprocess.run([sys.executable, "-c", POWER_OFF], cwd=CHECKOUT, check=True)
        faulty.lab.make("setup", seconds=120)
        faulty.wait_until_green(REBOOT_SECONDS)


@pytest.mark.parametrize(
    ("fault", "script"),
    [
        ("all machines off", "for each in $(virsh list --name); do virsh destroy $each; done"),
        ("all machines hang", "for each in $(virsh list --name); do virsh suspend $each; done"),
        ("machine removed by hand", "virsh destroy openstack-node1; virsh undefine openstack-node1"),
        ("network removed by hand", "virsh net-destroy vmbr1; virsh net-undefine vmbr1"),
        ("disk removed by hand", "virsh destroy openstack-node1; virsh vol-delete openstack-node1.qcow2 --pool $1"),
    ],
)
def test_destroy_leaves_nothing_whatever_is_broken(faulty: Faulty, fault: str, script: str) -> None:
    """And afterwards the snapshot brings everything back."""
    pool = (CHECKOUT / ".lab" / "host.json").read_text().partition('"pool": "')[2].partition('"')[0]
    faulty.lab.inside("sh", "-c", script, "sh", pool)
    with faulty.timed(fault, "destroyed"):
        begun = time.monotonic()
        faulty.lab.make("destroy", "YES=1", seconds=600)
        assert time.monotonic() - begun < DESTROY_SECONDS
    assert faulty.left() == []
    with faulty.timed("destroyed", "restored and green"):
        faulty.back()
    assert faulty.planned() == []
