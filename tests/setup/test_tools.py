"""The small parts of set-up: packages, virtual environment, times, KVM's verdict, the suite's count."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.setup.conftest import Checkout
from tools import engine, host_packages, paths, steps, suite, times
from tools.hypervisor import kvm
from tools.hypervisor.kvm import Verdict
from tools.steps import StepError, Timing

DOMAIN = "urn:pulumi:lab::openstack-lab::lab:kvm:Machine$libvirt:index/domain:Domain::node1-domain"
MIGRATION = "urn:pulumi:lab::openstack-lab::lab:openstack:Service$command:remote:Command::glance-migrate"
COMPONENT = "urn:pulumi:lab::openstack-lab::lab:kvm:Machine::node1"
UNCHANGED = "urn:pulumi:lab::openstack-lab::lab:cloud:Tenant$openstack:identity/user:User::myuser"


def event(timestamp: int, kind: str, urn: str, op: str = "create") -> dict[str, object]:
    """An entry of the engine's event log."""
    return {"timestamp": timestamp, kind: {"metadata": {"op": op, "urn": urn}}}


EVENTS = [
    event(10, "resourcePreEvent", COMPONENT),
    event(10, "resourcePreEvent", DOMAIN),
    event(12, "resourcePreEvent", MIGRATION),
    event(13, "resOutputsEvent", DOMAIN),
    event(52, "resOpFailedEvent", MIGRATION),
    event(60, "resourcePreEvent", UNCHANGED, "same"),
    event(61, "resOutputsEvent", UNCHANGED, "same"),
    event(90, "resOutputsEvent", COMPONENT),
]


def with_virtual_environment(checkout: Checkout) -> Checkout:
    """Have the checkout think that what the running Python has was installed for it."""
    binaries = checkout.path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    checkout.ask("venv.mark(venv.paths.VENV, venv.RUNTIME)")
    return checkout


@pytest.mark.parametrize("file", [host_packages.LIST, host_packages.DEVELOPMENT_LIST], ids=lambda file: file.name)
def test_every_package_of_a_list_has_its_reason(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert [line.partition("  # ")[0] for line in lines] == host_packages.wanted(file)
    assert all(line.partition("  # ")[2].strip() for line in lines)


def test_what_is_not_installed_is_missing() -> None:
    assert host_packages.missing(["dpkg", "no-such-package", "libc6"]) == ["no-such-package"]


def test_a_warm_bootstrap_finds_everything_there_within_three_seconds(checkout: Checkout) -> None:
    with_virtual_environment(checkout)
    command = [sys.executable, "tools/bootstrap.py"]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=checkout.path, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("all there") == 2
    assert seconds < 3
    timings = json.loads((checkout.path / ".lab" / "log" / "bootstrap.json").read_text())
    assert [name for name, _, _ in timings] == ["packages", "venv"]


def test_the_virtual_environment_is_stale_as_soon_as_a_pin_changes(checkout: Checkout, tmp_path: Path) -> None:
    with_virtual_environment(checkout)
    with (checkout.path / "requirements.txt").open("a") as file:
        file.write("no-such-package==1.0\n")
    cache = {"OPENSTACK_LAB_CACHE": str(tmp_path), "PIP_NO_INDEX": "1"}
    done = checkout.python("from tools import venv; venv.ensure()", **cache)
    assert "No matching distribution found" in done.stdout
    # What was there stays until its successor is whole.
    assert (checkout.path / ".venv" / "bin" / "python").exists()


def test_a_virtual_environment_is_made_once_and_shared_by_checkouts(
    checkout: Checkout, second_checkout: Checkout, tmp_path: Path
) -> None:
    cache = {"OPENSTACK_LAB_CACHE": str(tmp_path / "cache")}
    for each in (checkout, second_checkout):
        for file in ("requirements.txt", "requirements-dev.txt"):
            (each.path / file).write_text("# nothing\n")
    said = [
        each.python(f"from tools import venv; venv.ensure(development={development})", **cache).stdout
        for each, development in ((checkout, True), (checkout, False), (second_checkout, True))
    ]
    outcomes = [re.search(r"venv: (.+) \(", text.splitlines()[-1]) for text in said]
    assert [outcome and outcome[1] for outcome in outcomes] == ["done", "all there", "cached"]
    assert "requirements-dev.txt" in said[1]
    assert (checkout.path / ".venv").resolve() == (second_checkout.path / ".venv").resolve()


def test_a_failing_step_shows_the_last_lines_and_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sh", "-c", "echo no such host; exit 3"]
    with pytest.raises(StepError) as raised:
        steps.run(command, log="test-failing-step", timeout=10, remedy="bring the file by hand")
    steps.report(raised.value)
    said = capsys.readouterr().err
    for part in ("exit status 3", "no such host", str(paths.LOGS / "test-failing-step.log"), "bring the file by hand"):
        assert part in said


def test_the_table_of_times_adds_up_without_the_rows_that_explain_others(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = [Timing("venv", "all there", 0.5), Timing("pulumi", "done", 20.0), Timing("  KVM", "7 resources", 3.0)]
    monkeypatch.setattr(steps, "timings", timings)
    assert steps.table().splitlines() == [
        "venv        0.5 s  all there",
        "pulumi     20.0 s  done",
        "  KVM       3.0 s  7 resources",
        "total      20.5 s",
    ]


def test_a_step_within_a_step_is_told_below_it_and_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "timings", [])
    with steps.step("template", "all of it"), steps.step("disk", "its last part"):
        pass
    assert [timing.name for timing in steps.timings] == ["template", "  disk"]


def test_the_command_line_starts_without_what_takes_long_to_import() -> None:
    code = "import sys, tools.cli; print({'asyncssh', 'openstack', 'pulumi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(("interrupted", "status"), [(False, "7\n"), (True, "130\n")])
def test_a_signal_ends_the_engine_in_good_order(status: str, *, interrupted: bool) -> None:
    engine_that_tidies = "trap 'sleep 1; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    code = f"import os; from tools import engine; print(engine.wait(['sh', '-c', {engine_that_tidies!r}], os.environ))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=paths.CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    if interrupted:
        # As Ctrl-C would be for this process alone: the engine decides when it ends.
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
    process.terminate()
    assert process.communicate(timeout=20)[0] == status


def test_an_update_is_told_by_layers_critical_path_and_what_else_took_long() -> None:
    provider = "urn:pulumi:lab::openstack-lab::pulumi:providers:command::default"
    state: list[dict[str, object]] = [
        {"urn": DOMAIN},
        {"urn": provider, "dependencies": [DOMAIN]},
        {"urn": MIGRATION, "provider": f"{provider}::4d3c", "dependencies": [UNCHANGED]},
        {"urn": UNCHANGED, "dependencies": []},
    ]
    beside = DOMAIN.replace("node1", "node2")
    events = [*EVENTS, event(11, "resourcePreEvent", beside), event(16, "resOutputsEvent", beside)]
    assert times.rows(times.spans(events), times.needs(state)) == [
        Timing("  KVM", "2 resources", 6),
        Timing("  services", "1 resources", 40),
        Timing("  critical path", "2 resources, each behind the one before", 42),
        Timing("    node1-domain", "create, from 0 s on", 3),
        Timing("    glance-migrate", "create, from 2 s on", 40),
        Timing("  beside it", "the slowest of 1 resources", 5),
        Timing("    node2-domain", "create", 5),
    ]


def test_an_update_without_changes_has_no_critical_path() -> None:
    assert times.rows(times.spans(EVENTS[5:7]), {}) == []


def test_of_a_resource_that_was_replaced_the_longer_part_counts() -> None:
    events = [
        event(10, "resourcePreEvent", DOMAIN, "create-replacement"),
        event(50, "resOutputsEvent", DOMAIN, "create-replacement"),
        event(60, "resourcePreEvent", DOMAIN, "delete-replaced"),
        event(61, "resOutputsEvent", DOMAIN, "delete-replaced"),
    ]
    assert times.spans(events) == {DOMAIN: times.Span("create-replacement", 10, 50)}


def test_a_verdict_on_kvm_is_kept_until_the_machine_starts_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    boots: list[str] = []

    def boot(kernel: Path, accelerator: str) -> Verdict:
        boots.append(accelerator)
        return Verdict(works=False, why=f"{kernel} hangs")

    kernel = tmp_path / "kernel" / "vmlinuz-1"
    kernel.parent.mkdir()
    kernel.touch()
    monkeypatch.setenv("OPENSTACK_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(kvm, "DEVICE", kernel)
    monkeypatch.setattr(kvm, "_kernel", lambda: kernel)
    monkeypatch.setattr(kvm, "boot", boot)
    assert kvm.probe() == kvm.probe() == Verdict(works=False, why=f"{kernel} hangs")
    assert boots == ["kvm"]
    cached = json.loads((tmp_path / "kvm.json").read_text())
    (tmp_path / "kvm.json").write_text(json.dumps({**cached, "key": f"another-boot {kernel}"}))
    kvm.probe()
    assert boots == ["kvm", "kvm"]


def test_without_the_device_there_is_no_kvm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "kvm")
    assert kvm.probe() == Verdict(works=False, why=f"there is no {tmp_path}/kvm")
    assert kvm.probe().domain_type == "qemu"


@pytest.mark.machine
def test_a_kernel_boots_in_emulation_and_not_in_no_time() -> None:
    kernel = kvm._kernel()
    assert kvm.boot(kernel, "tcg", seconds=120) == Verdict(works=True, why="")
    assert kvm.boot(kernel, "tcg", seconds=0.05).why == "a Linux kernel did not boot with it within 0 s"


def test_the_suite_counts_what_a_report_says(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="9" failures="2" errors="1" skipped="1"/></testsuites>')
    assert suite.count(report) == (5, 3)


TWO_TESTS = """
import time, pytest
pytestmark = pytest.mark.machine

@pytest.fixture(scope="module", autouse=True)
def lab():
    yield
    time.sleep(1)
    print("cleared away")

def test_one():
    pass

def test_two():
    time.sleep(60)
"""


def test_a_suite_tells_after_ctrl_c_what_it_has_found_and_clears_away(tmp_path: Path) -> None:
    """A run takes hours, and its lab has all of a machine's memory."""
    tests = tmp_path / "test_two.py"
    tests.write_text(TWO_TESTS)
    code = f"from tools import paths, suite; paths.LOGS = paths.Path({str(tmp_path)!r})"
    code += f"; suite.e2e(['--capture=no', '-p', 'no:cacheprovider', {str(tests)!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=paths.CHECKOUT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    # The name of a test stands there before its end does.
    told = ""
    while "::test_two" not in told:
        told += process.stdout.read(1)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    told += process.communicate(timeout=30)[0]
    assert "cleared away" in told
    assert told.splitlines()[-1] == "1 passed, 1 failed"


@pytest.mark.parametrize(
    ("script", "line", "status"),
    [
        ("echo '5 passed, 0 failed'", "8 passed, 0 failed", 0),
        ("echo '5 passed, 1 failed'; exit 1", "8 passed, 1 failed", 1),
        ("echo 'make: *** [up] Error 1'; exit 2", "3 passed, 1 failed", 1),
    ],
)
def test_ci_sums_its_runs_in_its_last_line(tmp_path: Path, script: str, line: str, status: int) -> None:
    for name in (".ci/run", "tools/ci.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text((paths.CHECKOUT / name).read_text())
    (tmp_path / "Makefile").write_text(f"test:\n\t@{script}\n\ne2e:\n\t@echo '3 passed, 0 failed'\n")
    done = subprocess.run(["bash", tmp_path / ".ci" / "run"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == line
    assert done.returncode == status


def test_the_event_log_is_a_pipe_and_an_engine_that_never_opens_it_holds_nothing_up() -> None:
    with engine._events() as (pipe, found):
        assert pipe.is_fifo()
        pipe.write_text("".join(json.dumps(each) + "\n" for each in EVENTS))
    assert [spans[DOMAIN].seconds for spans in found] == [3]
    with engine._events() as (_, found):
        pass
    assert found == [{}]
