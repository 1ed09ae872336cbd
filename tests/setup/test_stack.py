"""The stack: passphrase, master secret and state, made by the real engine in a checkout of the test's own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml

from components.secrets import PASSWORD
from tests.setup.conftest import Checkout
from tools import clean, paths, stack
from tools.steps import StepError

SETTINGS = "Pulumi.lab.yaml"


def ensure(checkout: Checkout, **environment: str) -> str:
    """Make the stack and return what set-up said."""
    done = checkout.python(
        "import sys\nfrom tools import stack, steps\n"
        "try: stack.ensure('lab')\n"
        "except steps.StepError as error: steps.report(error); sys.exit(1)",
        **environment,
    )
    assert done.returncode == 0 or "error: " in done.stdout, done.stdout
    return done.stdout


def master_secret(checkout: Checkout) -> str:
    """The decrypted master secret, asked of the engine itself."""
    return checkout.ask("stack._pulumi('lab', 'config', 'get', stack.MASTER_SECRET, '--stack', 'lab')")


@pytest.fixture(autouse=True)
def _no_settings_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_a_new_stack_gets_a_passphrase_file_a_salt_and_an_encrypted_master_secret(checkout: Checkout) -> None:
    before = (checkout.path / SETTINGS).read_text()
    assert "encryptionsalt" not in before
    ensure(checkout)
    passphrase = checkout.path / ".lab" / "passphrase"
    assert passphrase.stat().st_mode & 0o777 == 0o600
    assert len(passphrase.read_text().strip()) == 43
    after = (checkout.path / SETTINGS).read_text()
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line.split(":")[0].strip() for line in added] == ["openstack-lab", "secure", "encryptionsalt"]
    assert len(master_secret(checkout)) == 43
    assert clean.without_secrets(after) == before


def test_a_second_time_takes_less_than_half_a_second_and_changes_nothing(checkout: Checkout) -> None:
    ensure(checkout)
    settings = (checkout.path / SETTINGS).read_text()
    said = ensure(checkout)
    seconds = re.search(r"stack: ready \(([0-9.]+) s\)", said)
    assert seconds, said
    assert float(seconds[1]) < 0.5
    assert (checkout.path / SETTINGS).read_text() == settings


def test_a_secret_is_put_into_a_copy_of_the_stack_s_file_alone(checkout: Checkout) -> None:
    ensure(checkout)
    before = (checkout.path / SETTINGS).read_text()
    draft = checkout.path / ".lab" / "draft.yaml"
    shutil.copyfile(checkout.path / SETTINGS, draft)
    name = "passwordOverrides.admin_identity_password"
    checkout.ask(f"stack.set_secret('lab', stack.paths.STATE / 'draft.yaml', '{name}', 'another-one')")
    assert (checkout.path / SETTINGS).read_text() == before
    assert "another-one" not in draft.read_text()
    words = f"'config', 'get', '--path', 'openstack-lab:{name}', '--config-file', '{draft}', '--stack', 'lab'"
    assert checkout.ask(f"stack._pulumi('lab', {words})") == "another-one"


def test_the_master_secret_is_in_no_process_argument(checkout: Checkout) -> None:
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    ensure(checkout)
    done.set()
    watcher.join()
    secret = master_secret(checkout)
    assert any("config set --secret" in line for line in seen)
    assert not any(secret in line for line in seen)


def test_a_wrong_passphrase_is_said_before_anything_is_done(checkout: Checkout) -> None:
    ensure(checkout)
    (checkout.path / ".lab" / "passphrase").write_text("another one\n")
    said = ensure(checkout)
    assert f"the passphrase in {checkout.path}/.lab/passphrase does not open {SETTINGS}" in said
    assert "remedy: set PULUMI_CONFIG_PASSPHRASE_FILE to a file with the right one" in said


def test_an_encrypted_stack_without_its_passphrase_is_not_given_a_new_one(checkout: Checkout) -> None:
    ensure(checkout)
    (checkout.path / ".lab" / "passphrase").unlink()
    said = ensure(checkout)
    assert f"{SETTINGS} is encrypted, and its passphrase is not here" in said
    assert not (checkout.path / ".lab" / "passphrase").exists()


def test_the_users_own_backend_and_passphrase_are_used(checkout: Checkout, tmp_path: Path) -> None:
    backend = tmp_path / "backend"
    backend.mkdir()
    own = {"PULUMI_BACKEND_URL": f"file://{backend}", "PULUMI_CONFIG_PASSPHRASE": "the user's own"}
    ensure(checkout, **own)
    assert (backend / ".pulumi" / "stacks" / "openstack-lab" / "lab.json").exists()
    assert not (checkout.path / ".lab" / "passphrase").exists()
    assert not (checkout.path / ".lab" / "state").exists()
    assert "does not open" in ensure(checkout, **{**own, "PULUMI_CONFIG_PASSPHRASE": "another"})


def test_a_stack_is_not_made_a_second_time_in_another_backend(checkout: Checkout, tmp_path: Path) -> None:
    """What the first one has made would be nobody's."""
    own, another = dict[str, str](), {"PULUMI_BACKEND_URL": f"file://{tmp_path}"}
    for then, now in ((own, another), (another, own)):
        ensure(checkout, **then)
        said = ensure(checkout, **now)
        assert "is another than the one with which the stacks of this checkout were made" in said
        assert f"rm {checkout.path}/.lab/backend" in said
        (checkout.path / ".lab" / "backend").unlink()


def test_a_lost_master_secret_is_not_replaced_while_resources_follow_from_it(checkout: Checkout) -> None:
    committed = (checkout.path / SETTINGS).read_text()
    ensure(checkout)
    state = checkout.path / ".lab" / "state" / ".pulumi" / "stacks" / "openstack-lab" / "lab.json"
    state.write_text(state.read_text().replace('"metadata":', '"resources": [{"type": "any"}], "metadata":', 1))
    (checkout.path / SETTINGS).write_text(committed)
    assert f"{SETTINGS} has lost its openstack-lab:masterSecret" in ensure(checkout)
    done = checkout.python("from tools import stack; stack.ensure('lab', to_destroy=True)")
    assert "stack: without master secret" in done.stdout


def test_an_unknown_stack_is_named_with_the_ones_there_are(checkout: Checkout) -> None:
    done = checkout.python("from tools import stack; stack.ensure('prod')")
    assert "there is no stack 'prod': Pulumi.prod.yaml is missing" in done.stdout


def test_a_stack_s_name_may_have_dots(checkout: Checkout) -> None:
    (checkout.path / "Pulumi.lab.v2.yaml").write_text((checkout.path / SETTINGS).read_text())
    assert checkout.ask("stack.names()") == "['compact', 'lab', 'lab.v2']"


def test_a_lock_left_by_a_killed_engine_goes_and_a_living_ones_stays(checkout: Checkout, tmp_path: Path) -> None:
    locks = checkout.path / ".lab" / "state" / ".pulumi" / "locks" / "organization" / "openstack-lab" / "lab"
    locks.mkdir(parents=True)
    # Any program by that name will do.
    engine = tmp_path / "pulumi"
    shutil.copy("/bin/sleep", engine)
    with subprocess.Popen([engine, "60"]) as process:
        lock = {"pid": process.pid, "hostname": socket.gethostname(), "timestamp": "2026-01-01T00:00:00Z"}
        (locks / "a.json").write_text(json.dumps(lock))
        done = checkout.python("from tools import stack; stack.unlock('lab')")
        assert f"stack lab is being worked on by process {process.pid}" in done.stdout
        assert list(locks.glob("*.json"))
        process.kill()
        # Killed, but not waited for: it still stands in the process table.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        checkout.ask("stack.unlock('lab')")
        assert not list(locks.glob("*.json"))


def test_a_kill_leaves_no_half_written_file_that_the_next_engine_would_stumble_on(checkout: Checkout) -> None:
    """Neither beside the state, where the engine would read it, nor among the locks, where it counts as one."""
    ensure(checkout)
    backend = checkout.path / ".lab" / "state" / ".pulumi"
    state = backend / "stacks" / "openstack-lab" / "lab.json"
    assert [file.name for file in backend.rglob("*.attrs")] == []
    lock = backend / "locks" / "organization" / "openstack-lab" / "lab" / "a.json.18ebde64cd4193a5.tmp"
    lock.parent.mkdir(parents=True, exist_ok=True)
    for unfinished in (lock, state.with_name("lab.json.18ebde64cd4193a5.tmp")):
        unfinished.write_text("{")
    checkout.ask("stack.unlock('lab')")
    assert [file.name for file in backend.rglob("*.tmp")] == []
    assert checkout.ask("stack.export('lab')[0]") == "{"


def test_a_program_whose_engine_was_killed_ends_and_one_at_work_stays(checkout: Checkout, tmp_path: Path) -> None:
    # Any programs by these names will do: the engine starts the language host, which starts the program.
    engine, host, program = (tmp_path / name for name in ("pulumi", "pulumi-language-python", stack.PROGRAM))
    for file in (engine, host, program):
        shutil.copy("/bin/sh", file)
    start_program = f"{program} -c 'echo $$; sleep 60; :' --stack lab; :"
    start_host = f'{host} -c "{start_program.replace("$", chr(92) + "$")}" & wait'
    command = [str(engine), "-c", start_host]
    with subprocess.Popen(
        command, cwd=checkout.path, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout
        entry = Path("/proc", running.stdout.readline().strip())
        try:
            checkout.ask("stack.unlock('lab')")
            assert "S (sleeping)" in (entry / "status").read_text()
            running.kill()
            running.wait()
            checkout.ask("stack.unlock('compact')")
            assert (entry / "cwd").exists()
            checkout.ask("stack.unlock('lab')")
            assert not (entry / "cwd").exists()
        finally:
            os.killpg(running.pid, signal.SIGKILL)


def test_the_environment_has_nothing_of_another_cloud_or_ssh_agent(checkout: Checkout) -> None:
    """Nor what would have Pulumi write states that nobody here reads."""
    foreign = {"SSH_AUTH_SOCK": "/nowhere", "PULUMI_DIY_BACKEND_GZIP": "true"}
    environment = {"OS_CLOUD": "other", "OS_PASSWORD": "x", **foreign}
    done = checkout.python(
        "from tools import stack; from tools.hypervisor import Hypervisor\n"
        "print(*sorted(stack.environment(Hypervisor('qemu:///system', 'pool', 'kvm', None)).items()), sep='\\n')",
        **environment,
    )
    assert "('LIBVIRT_DEFAULT_URI', 'qemu:///system')" in done.stdout
    assert f"('PULUMI_BACKEND_URL', 'file://{checkout.path}/.lab/state?metadata=skip')" in done.stdout
    unwanted = ("('OS_", *(f"('{name}'" for name in foreign))
    assert not [line for line in done.stdout.splitlines() if line.startswith(unwanted)]


def test_the_configuration_is_the_projects_defaults_under_the_stacks_values() -> None:
    values = stack.configuration("compact")
    assert values["domain"] == "magedu.local"
    assert list(values["nodes"]) == ["controller1", "node1", "node2"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("config:\n  openstack-lab:vip: [1\n", r"^Pulumi\.lab\.yaml, line 3: no YAML: "),
        ("- config\n", r"^Pulumi\.lab\.yaml: allowed is a mapping, in which `config` maps keys to values$"),
        ("config: 7\n", r"^Pulumi\.lab\.yaml: allowed is a mapping, in which `config` maps keys to values$"),
    ],
)
def test_a_slip_in_the_stack_s_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    (tmp_path / "Pulumi.yaml").write_text((paths.CHECKOUT / "Pulumi.yaml").read_text())
    (tmp_path / "Pulumi.lab.yaml").write_text(text)
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    with pytest.raises(StepError, match=told):
        stack.configuration("lab")


def test_a_stack_without_settings_has_the_project_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text((paths.CHECKOUT / "Pulumi.yaml").read_text())
    (tmp_path / "Pulumi.lab.yaml").write_text("config:\n")
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    assert stack.configuration("lab")["domain"] == "magedu.local"


def test_a_password_that_is_encrypted_within_a_value_has_a_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set by `pulumi config set --secret --path`; what is encrypted as a whole cannot be looked into."""
    (tmp_path / "Pulumi.yaml").write_text((paths.CHECKOUT / "Pulumi.yaml").read_text())
    overrides = {"glance_database_password": {"secure": "v1:abc"}}
    text = yaml.safe_dump(
        {"config": {"openstack-lab:passwordOverrides": overrides, "openstack-lab:vip": {"secure": "v1"}}}
    )
    (tmp_path / "Pulumi.lab.yaml").write_text(text)
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    values = stack.configuration("lab")
    assert PASSWORD.fullmatch(values["passwordOverrides"]["glance_database_password"])
    assert values["vip"] == "172.16.0.248"


def test_the_stacks_files_in_git_hold_neither_salt_nor_secret() -> None:
    """What set-up adds to them while somebody works here is not to be committed."""
    git = ["git", "-C", str(paths.CHECKOUT)]
    files = subprocess.check_output([*git, "ls-files", "Pulumi.*.yaml"], text=True).split()
    assert {SETTINGS, "Pulumi.compact.yaml"} <= set(files)
    committed = {name: subprocess.check_output([*git, "show", f":{name}"], text=True) for name in files}
    assert [name for name, text in committed.items() if "encryptionsalt" in text or "secure:" in text] == []
