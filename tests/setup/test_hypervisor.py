"""The private hypervisor: real daemons in real namespaces, beside whatever runs on this machine already."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.setup.conftest import Checkout
from tools import mounts

pytestmark = pytest.mark.machine

NETWORK = """
<network>
  <name>vmbr0</name>
  <forward mode="nat"/>
  <bridge name="vmbr0"/>
  <dns enable="no"/>
  <ip address="172.16.0.1" prefix="16"/>
</network>
"""
DOMAIN = """
<domain type="qemu">
  <name>guest</name>
  <memory unit="MiB">64</memory>
  <os><type>hvm</type></os>
  <devices><interface type="network"><source network="vmbr0"/></interface></devices>
</domain>
"""


def start_guest(checkout: Checkout) -> None:
    """Bring up the provider network, and a machine without a disk on it."""
    (checkout.path / "network.xml").write_text(NETWORK)
    (checkout.path / "domain.xml").write_text(DOMAIN)
    checkout.inside("virsh net-create network.xml && virsh create domain.xml")


def pid(checkout: Checkout, daemon: str) -> int:
    """Process id of one of the checkout's daemons."""
    return int(checkout.ask(f"private.pid('{daemon}')", "tools.hypervisor"))


def guest_pid(checkout: Checkout) -> int:
    """Process id of the guest's QEMU."""
    return int(Path(checkout.ask("paths.RUN"), "libvirt", "qemu", "guest.pid").read_text())


def machine_state() -> tuple[str, ...]:
    """What of the machine itself a lab could disturb: interfaces, packet filter, libvirt's own directories."""
    commands = (
        "ip -brief link",
        "iptables-save -t nat | grep -v '^#'",
        "find /etc/libvirt /var/lib/libvirt /run/libvirt 2>/dev/null | sort",
        "cat /proc/sys/net/ipv4/ip_forward",
        "cat /etc/hosts",
    )
    return tuple(subprocess.run(["sh", "-c", each], capture_output=True, text=True).stdout for each in commands)


def test_a_second_set_up_finds_the_daemons_and_takes_no_time(checkout: Checkout) -> None:
    checkout.inside("true")
    daemons = pid(checkout, "libvirtd"), pid(checkout, "virtlogd")
    begun = time.monotonic()
    checkout.inside("true")
    assert time.monotonic() - begun < 1.5
    assert (pid(checkout, "libvirtd"), pid(checkout, "virtlogd")) == daemons


def test_the_pool_is_active_and_lies_in_the_checkout(checkout: Checkout) -> None:
    dump = checkout.inside("virsh pool-dumpxml $(virsh pool-list --name)")
    assert f"<path>{checkout.path}/.lab/pool</path>" in dump
    assert f"<name>{checkout.ask('paths.NAME')}</name>" in dump


def test_two_checkouts_run_the_same_network_and_guest_side_by_side(
    checkout: Checkout, second_checkout: Checkout
) -> None:
    before = machine_state()
    for each in (checkout, second_checkout):
        start_guest(each)
    for each in (checkout, second_checkout):
        assert each.inside("virsh list --name").split() == ["guest"]
        assert "172.16.0.1/16" in each.inside("ip -brief address show vmbr0")
        assert "vnet0" in each.inside("ls /sys/class/net")
        assert "172.16.0.0/16" in each.inside("iptables-save -t nat")
        assert each.inside("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
        assert set(each.inside("cat /proc/sys/net/bridge/bridge-nf-call-* 2>/dev/null || true").split()) <= {"0"}
    assert guest_pid(checkout) != guest_pid(second_checkout)
    checkout.clean()
    assert second_checkout.inside("virsh list --name").split() == ["guest"]
    second_checkout.clean()
    assert machine_state() == before


def test_a_guest_survives_the_death_of_the_daemons(checkout: Checkout) -> None:
    start_guest(checkout)
    guest = guest_pid(checkout)
    for daemon in ("libvirtd", "virtlogd"):
        os.kill(pid(checkout, daemon), signal.SIGKILL)
    assert checkout.ask("private.running()", "tools.hypervisor") == "False"
    assert checkout.inside("virsh list --name").split() == ["guest"]
    assert guest_pid(checkout) == guest


def test_after_a_restart_of_the_machine_what_is_to_start_by_itself_does(checkout: Checkout) -> None:
    start_guest(checkout)
    checkout.inside("virsh destroy guest && virsh net-destroy vmbr0")
    checkout.inside("virsh net-define network.xml && virsh net-autostart vmbr0 && virsh net-start vmbr0")
    checkout.inside("virsh define domain.xml && virsh autostart guest && virsh start guest")
    # A restart ends all processes, and leaves no namespace and nothing of /run.
    for process in (guest_pid(checkout), pid(checkout, "libvirtd"), pid(checkout, "virtlogd")):
        os.kill(process, signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", checkout.ask("paths.NAME")], check=True)
    shutil.rmtree(checkout.ask("paths.RUN"))
    deadline = time.monotonic() + 60
    while checkout.inside("virsh list --name").split() != ["guest"]:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert "172.16.0.1/16" in checkout.inside("ip -brief address show vmbr0")


def test_the_daemons_have_a_session_of_their_own_and_so_outlive_the_terminal(checkout: Checkout) -> None:
    checkout.inside("true")
    for daemon in ("libvirtd", "virtlogd"):
        assert os.getsid(pid(checkout, daemon)) != os.getsid(0)


def test_clean_takes_away_guests_daemons_namespace_and_files_even_after_the_daemons_died(checkout: Checkout) -> None:
    start_guest(checkout)
    name, guest = checkout.ask("paths.NAME"), guest_pid(checkout)
    os.kill(pid(checkout, "libvirtd"), signal.SIGKILL)
    checkout.clean()
    assert not _runs(guest)
    for place in (f"/run/{name}", f"/run/netns/{name}", f"/etc/netns/{name}"):
        assert not Path(place).exists()
    assert [file.name for file in (checkout.path / ".lab").iterdir()] == ["log"]
    assert name not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout


def test_the_machines_own_libvirt_is_used_where_it_answers(checkout: Checkout, tmp_path: Path) -> None:
    place = tmp_path / "machine"
    for directory in ("etc", "lib/images", "run", "log"):
        (place / directory).mkdir(parents=True)
    (place / "etc" / "qemu.conf").write_text('security_driver = "none"\ncgroup_controllers = []\nnamespaces = []\n')
    (place / "etc" / "libvirtd.conf").write_text('auth_unix_rw = "none"\n')
    name = checkout.ask("paths.NAME")
    script = f"""
        mkdir -p /run/libvirt
        for each in etc/libvirt=etc var/lib/libvirt=lib run/libvirt=run var/log/libvirt=log; do
            mount --bind {place}/${{each#*=}} /${{each%=*}}
        done
        libvirtd --daemon --pid-file {place}/pid
        trap 'kill $(cat {place}/pid)' EXIT
        cd {checkout.path}
        {sys.executable} -m tools.hypervisor virsh pool-dumpxml {name}
        {sys.executable} -c 'from tools.hypervisor import namespace; namespace.write_hosts("172.16.0.248 vip.lab")'
        {sys.executable} -m tools.hypervisor sh -c 'echo $LIBVIRT_DEFAULT_URI; getent hosts vip.lab'
        ! getent hosts vip.lab
        virsh --connect qemu:///system vol-create-as {name} disk 1M
        {sys.executable} -c 'from tools import hypervisor; hypervisor.clean()'
        virsh --connect qemu:///system pool-list --all --name
    """
    # In network and mount namespaces of the test's own: this libvirtd plays the machine's.
    command = [*mounts.unshare(), "--net", "sh", "-ec", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"<path>/var/lib/libvirt/images/{name}</path>" in done.stdout
    assert "qemu:///system" in done.stdout.splitlines()
    assert re.search(r"172\.16\.0\.248 +vip\.lab", done.stdout)
    assert done.stdout.split()[-1] == "created"
    assert not list((place / "lib" / "images").iterdir())
    assert checkout.ask("namespace.exists()", "tools.hypervisor") == "False"


def test_names_of_the_lab_are_known_inside_and_only_there(checkout: Checkout) -> None:
    checkout.inside("true")
    checkout.ask("namespace.write_hosts('172.16.0.248 openstack-vip.magedu.local')", "tools.hypervisor")
    assert checkout.inside("getent hosts openstack-vip.magedu.local").split()[0] == "172.16.0.248"
    assert "magedu" not in Path("/etc/hosts").read_text()


def test_a_pid_file_left_behind_is_not_taken_for_a_daemon(checkout: Checkout) -> None:
    run = Path(checkout.ask("paths.RUN"))
    run.mkdir()
    (run / "libvirtd.pid").write_text(f"{os.getpid()}\n")
    assert checkout.ask("private.pid('libvirtd')", "tools.hypervisor") == "None"


def _runs(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"
