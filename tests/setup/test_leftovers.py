"""What an interrupted run leaves in a real hypervisor: found by preflight, removed before the next run."""

import json

import pytest

from tests.setup.conftest import Checkout
from tests.setup.test_hypervisor import NETWORK, start_guest

pytestmark = pytest.mark.machine

LEFT = """
virsh vol-create-as $(virsh pool-list --name) {volume} 1M --format qcow2 >/dev/null
cat > domain.xml <<END
<domain type="qemu">
  <name>{domain}</name>
  <memory unit="MiB">64</memory>
  <os><type>hvm</type></os>
  <devices><disk type="file"><source file="$PWD/.lab/pool/{volume}"/><target dev="vda"/></disk></devices>
</domain>
END
virsh define domain.xml
"""


def leave(checkout: Checkout, domain: str) -> None:
    """Make a volume and a machine with it, as a run would."""
    checkout.inside(LEFT.format(domain=domain, volume=f"{domain}.qcow2"))


def record(checkout: Checkout, *resources: tuple[str, str], begun: str = "") -> None:
    """Have the state of stack `lab` hold resources of these types and names, as libvirt has them now.

    `begun` is the address range of a network `vmbr0` that an engine was making when it was killed.
    """
    stacks = checkout.path / ".lab" / "state" / ".pulumi" / "stacks" / "openstack-lab"
    stacks.mkdir(parents=True)
    entries = [
        {
            "type": f"libvirt:index/{kind}",
            "urn": f"urn::{name}",
            "id": checkout.inside(
                f"virsh domuuid {name} 2>/dev/null || virsh net-uuid {name} 2>/dev/null || echo"
            ).strip(),
            "outputs": {"name": name},
        }
        for kind, name in resources
    ]
    inputs = {"name": "vmbr0", "bridge": "vmbr0", "addresses": [begun]}
    pending = [{"type": "creating", "resource": {"type": "libvirt:index/network:Network", "inputs": inputs}}]
    latest = {"resources": entries, "pending_operations": pending if begun else []}
    (stacks / "lab.json").write_text(json.dumps({"checkpoint": {"latest": latest}}))


def run(checkout: Checkout, code: str) -> str:
    """Run code that has a `host`, and return what it says."""
    done = checkout.python(f"from tools import *\nfrom tools import hypervisor\nhost = hypervisor.ensure()\n{code}")
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_what_no_state_knows_is_removed_and_what_one_knows_stays(checkout: Checkout) -> None:
    start_guest(checkout)
    leave(checkout, "openstack-node1")
    leave(checkout, "openstack-node2")
    recorded = ("domain:Domain", "openstack-node2"), ("volume:Volume", "openstack-node2.qcow2")
    record(checkout, *recorded, begun="172.16.0.0/16")
    # The stack's file does not matter: its state tells what it made.
    (checkout.path / "Pulumi.lab.yaml").unlink()
    said = run(checkout, "from tools import leftovers; leftovers.remove(host)")
    assert "removed machine openstack-node1, network vmbr0, volume openstack-node1.qcow2" in said
    assert set(checkout.inside("virsh list --all --name").split()) == {"guest", "openstack-node2"}
    assert checkout.inside("virsh net-list --all --name").split() == []
    assert checkout.inside("virsh --quiet vol-list $(virsh pool-list --name)").split()[0] == "openstack-node2.qcow2"
    assert "leftovers: none" in run(checkout, "from tools import leftovers; leftovers.remove(host)")


def test_a_network_that_is_not_like_the_one_that_was_begun_is_somebody_else_s(checkout: Checkout) -> None:
    """Its name alone does not make it the stack's."""
    start_guest(checkout)
    record(checkout, begun="172.17.0.0/16")
    assert "leftovers: none" in run(checkout, "from tools import leftovers; leftovers.remove(host)")
    assert checkout.inside("virsh net-list --all --name").split() == ["vmbr0"]


def test_a_machine_that_is_off_is_started_and_what_is_gone_is_found(checkout: Checkout) -> None:
    leave(checkout, "openstack-node1")
    record(
        checkout,
        *(("domain:Domain", "openstack-node1"), ("volume:Volume", "openstack-node1.qcow2")),
        *(("domain:Domain", "openstack-node2"), ("network:Network", "vmbr0")),
    )
    begin = "from tools import machines; "
    assert run(checkout, f"{begin}print([each['urn'] for each in machines.lost(host, 'lab')])").endswith(
        "['urn::openstack-node2', 'urn::vmbr0']\n"
    )
    assert "machines: started openstack-node1" in run(checkout, f"{begin}machines.start(host, 'lab')")
    assert checkout.inside("virsh list --name").split() == ["openstack-node1"]
    checkout.inside("virsh suspend openstack-node1")
    assert "machines: started openstack-node1" in run(checkout, f"{begin}machines.start(host, 'lab')")
    assert checkout.inside("virsh domstate openstack-node1").strip() == "running"
    (checkout.path / ".lab" / "pool" / "openstack-node1.qcow2").unlink()
    assert "urn::openstack-node1.qcow2" in run(
        checkout, f"{begin}print([each['urn'] for each in machines.lost(host, 'lab')])"
    )


def test_a_machine_and_a_network_that_took_the_names_of_the_stack_s_are_left_alone(checkout: Checkout) -> None:
    """Somebody deleted the stack's own and made others under their names; what stands in for the lost goes by UUID."""
    start_guest(checkout)
    leave(checkout, "openstack-node1")
    record(checkout, ("domain:Domain", "openstack-node1"), ("network:Network", "vmbr0"))
    lost = checkout.inside("virsh domuuid openstack-node1; virsh net-uuid vmbr0").split()
    checkout.inside("virsh undefine openstack-node1; virsh define domain.xml; virsh net-dumpxml vmbr0 >network.xml")
    checkout.inside("virsh net-destroy vmbr0; sed -i /uuid/d network.xml")
    checkout.inside("virsh net-define network.xml; virsh undefine openstack-node1; sed -i /disk/d domain.xml")
    checkout.inside("virsh define domain.xml")
    said = run(
        checkout,
        "from tools import leftovers, machines, preflight, stack\n"
        "leftovers.remove(host)\n"
        "machines.start(host, 'lab')\n"
        "machines.stand_in(host, machines.lost(host, 'lab'))\n"
        "for finding in preflight.examine('lab', stack.configuration('lab'), preflight.look(host)): print(finding)",
    )
    assert "machines: all on" in said
    assert "nodes.node1: libvirt has a machine openstack-node1 that stack lab did not make" in said
    assert "vmbr0: libvirt has a network vmbr0 with this bridge that stack lab did not make" in said
    assert checkout.inside("virsh domstate openstack-node1").strip() == "shut off"
    there = checkout.inside("virsh list --all --uuid; virsh net-list --all --uuid").split()
    assert set(lost) < set(there)
    run(checkout, "from tools import leftovers; leftovers.remove(host)")
    assert set(checkout.inside("virsh list --all --name; virsh net-list --all --name").split()) == {
        *("guest", "openstack-node1", "vmbr0")
    }


NETWORKS = """
import json, shutil
from tools import paths, snapshot, stack, steps
from tools.hypervisor.virsh import virsh

def state(uuid):
    network = {"type": "libvirt:index/network:Network", "urn": "urn::vmbr0", "id": uuid, "outputs": {"name": "vmbr0"}}
    stack._state_file("lab").parent.mkdir(parents=True, exist_ok=True)
    stack._state_file("lab").write_text(json.dumps({"checkpoint": {"latest": {"resources": [network]}}}))

def make():
    virsh(host.uri, "net-define", paths.CHECKOUT / "network.xml")
    return virsh(host.uri, "net-uuid", "vmbr0").strip()

first = make()
kept = snapshot.ROOT / "lab" / "fresh"
for each in ("networks", "machines", "volumes", "clients"):
    (kept / each).mkdir(parents=True)
(kept / "networks" / "vmbr0.xml").write_text(virsh(host.uri, "net-dumpxml", "--inactive", "vmbr0"))
state(first)
shutil.copy(stack._state_file("lab"), kept / "state.json")
shutil.copy(paths.CHECKOUT / "Pulumi.lab.yaml", kept / "stack.yaml")
(kept / "snapshot.json").write_text(json.dumps({
    **dict(stack="lab", name="fresh", made="2026-11-23T18:00:00+00:00", program=snapshot.program(), format=1),
    **dict(machines={}, files={}),
}))
virsh(host.uri, "net-undefine", "vmbr0")
second = make()
stack.load = lambda name, file: shutil.copy(file, stack._state_file(name))
"""
"""A snapshot with a network, and another network of that name in its place since."""


def test_a_restore_puts_the_snapshot_s_networks_in_the_place_of_the_stack_s_own(checkout: Checkout) -> None:
    """Those were made anew after the snapshot; the restored state knows the former ones."""
    (checkout.path / "network.xml").write_text(NETWORK)
    said = run(
        checkout,
        f"{NETWORKS}\nstate(second)\nsnapshot.restore(host, 'lab', 'fresh')\nassert first != second\nprint(first)",
    )
    assert checkout.inside("virsh net-uuid vmbr0").strip() == said.splitlines()[-1]
    assert checkout.inside("virsh net-list --name").split() == ["vmbr0"]


def test_a_restore_leaves_a_network_alone_that_the_stack_did_not_make(checkout: Checkout) -> None:
    (checkout.path / "network.xml").write_text(NETWORK)
    said = run(
        checkout,
        f"{NETWORKS}\n"
        "try: snapshot.restore(host, 'lab', 'fresh')\n"
        "except steps.StepError as error: steps.report(error)\n"
        "print(second)",
    )
    assert "error: libvirt has a network vmbr0 that stack lab did not make" in said
    assert checkout.inside("virsh net-uuid vmbr0").strip() == said.splitlines()[-1]


def test_preflight_sees_what_is_there(checkout: Checkout) -> None:
    start_guest(checkout)
    leave(checkout, "openstack-node1")
    checkout.inside("ip link add lan type bridge; ip address add 10.0.0.7/24 dev lan")
    said = run(
        checkout,
        "from tools import preflight, stack\n"
        "for finding in preflight.examine('lab', stack.configuration('lab'), preflight.look(host)): print(finding)",
    )
    for part in (
        "nodes.node1: libvirt has a machine openstack-node1 that stack lab did not make",
        "vmbr0: libvirt has a network vmbr0 with this bridge that stack lab did not make",
        "internalNetwork: 10.0.0.0/24 of vmbr1 overlaps 10.0.0.7/24 of this machine's lan",
    ):
        assert part in said
