"""The compact lab from nothing to nothing, in the order of these tests, on real machines."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import CHECKOUT, NODES, STACK, Lab, Processes, kill_engine_of, wait_for_line

pytestmark = pytest.mark.machine

UP_SECONDS = 1500


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab in a checkout of its own, all of which is gone afterwards."""
    lab = Lab()
    yield lab
    if (CHECKOUT / ".venv").exists():
        lab.make("clean", seconds=300)


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
            wait_for_line(first, r"rabbitmq-controller1-files created", UP_SECONDS)
            killed = kill_engine_of(first.pid)
        assert "pulumi" in killed
        assert len([name for name in killed if name.startswith("pulumi-resource")]) >= 2
        lab.watch_processes()
        output = lab.make("up", seconds=UP_SECONDS)
    assert "exit status 0" in output
    for node in NODES:
        processes.on_nodes[node] = lab.processes(node)
    assert "keystone-manage bootstrap" in processes.on_nodes["controller1"]


def test_verify_is_green(lab: Lab) -> None:
    """Every row, as JSON tells it."""
    output = lab.make("verify", "JSON=1", seconds=120)
    found = json.loads(output[output.index("{") :])
    assert found["ok"], found["rows"]
    assert {row["check"] for row in found["rows"]} >= {"time", "units", "VIP", "HAProxy", "token", "catalog", "image"}


def test_a_second_up_changes_nothing_and_restarts_nothing(lab: Lab) -> None:
    """Every resource is the same, and every unit has run since the same moment."""
    before = lab.started()
    assert "controller1 keystone.service" in before
    output = lab.inside("pulumi", "up", "--stack", STACK, "--yes", "--skip-preview", "--non-interactive", seconds=120)
    assert re.search(r"Resources:\n +\d+ unchanged\n", output), output[-2000:]
    assert lab.started() == before


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
    lab.make("up", seconds=UP_SECONDS)
    after = lab.started()
    assert {unit for unit in before | after if before.get(unit) != after.get(unit)} == {
        "controller1 glance-api.service"
    }
    assert "debug = true" in lab.on("controller1", "cat /etc/glance/glance-api.conf")
    lab.set_option("")
    lab.make("up", seconds=UP_SECONDS)
    assert "debug" not in lab.on("controller1", "cat /etc/glance/glance-api.conf")


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
    """They hold passwords in clear."""
    files = sorted((CHECKOUT / ".lab" / "openrc" / STACK).iterdir())
    assert [file.name for file in files] == ["admin-openrc", "demo-openrc"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert "demo-openrc" in lab.inside("pulumi", "stack", "output", "clients", "--stack", STACK)


def test_destroy_leaves_nothing(lab: Lab) -> None:
    """No machine, volume, network, interface, translation rule or file of it."""
    lab.make("destroy", "YES=1", seconds=300)
    assert lab.inside("virsh", "list", "--all", "--name").strip() == ""
    assert lab.inside("virsh", "net-list", "--all", "--name").strip() == ""
    pool = json.loads((CHECKOUT / ".lab" / "host.json").read_text())["pool"]
    assert lab.inside("virsh", "vol-list", pool).strip().splitlines()[2:] == []
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
    left = [
        file.parent.name
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if str(CHECKOUT).encode() in file.read_bytes() and b"pytest" not in file.read_bytes()
    ]
    assert left == []
