"""The engine, the language host and the command plugin together, on a stack of their own against a real sshd."""

import contextlib
import getpass
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools import toolchain

SECRET = "correct horse battery staple"

PROGRAM = """\
import json, pathlib, pulumi
import pulumi_command as command

given = json.loads(pathlib.Path("inputs.json").read_text())
connection = command.remote.ConnectionArgs(
    host="127.0.0.1", port=given["port"], user=given["user"], host_key=given["host_key"],
    private_key=pulumi.Output.secret(pathlib.Path("client").read_text()),
)
remote = command.remote.Command(
    "remote", connection=connection, create=given["create"], update=given.get("update"), delete=given.get("delete"),
    stdin=given["secret"], triggers=given["triggers"], logging=command.remote.Logging.NONE,
    add_previous_output_in_env=False,
    opts=pulumi.ResourceOptions(
        delete_before_replace=True, custom_timeouts=pulumi.CustomTimeouts(update=given.get("limit"))
    ),
)
command.remote.CopyToRemote(
    "copy", connection=connection, source=pulumi.StringAsset(given["text"]), remote_path=given["target"]
)
pulumi.export("stdout", remote.stdout)
"""


@dataclass(frozen=True)
class Lab:
    """A Pulumi project in a directory, and an sshd that writes where it is told."""

    path: Path
    inputs: dict[str, Any]

    def pulumi(self, *words: str, status: int = 0) -> str:
        """What a `pulumi` command prints; it has to end with this status."""
        (self.path / "inputs.json").write_text(json.dumps(self.inputs))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")},
            **toolchain.environment(toolchain.ensure()),
            "PULUMI_BACKEND_URL": f"file://{self.path}",
            "PULUMI_CONFIG_PASSPHRASE": "passphrase",
        }
        done = subprocess.run(
            ["pulumi", *words, "--stack=test", "--non-interactive"],
            cwd=self.path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == bool(status), done.stdout
        return done.stdout

    def interrupted_up(self) -> str:
        """`pulumi up` that gets a Ctrl-C once a command has begun."""
        self.happened()
        with futures.ThreadPoolExecutor(1) as executor:
            printed = executor.submit(self.up, status=1)
            while not (self.path / "journal").exists():
                time.sleep(0.05)
            for process in Path("/proc").glob("[0-9]*/environ"):
                comm, cwd = process.with_name("comm"), process.with_name("cwd")
                with contextlib.suppress(OSError):
                    if comm.read_text() == "pulumi\n" and cwd.readlink() == self.path:
                        os.kill(int(process.parent.name), signal.SIGINT)
            return printed.result()

    def up(self, status: int = 0) -> str:
        """`pulumi up`."""
        return self.pulumi("up", "--yes", "--skip-preview", status=status)

    def happened(self) -> list[str]:
        """What the commands wrote since the last call."""
        journal = self.path / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        journal.unlink(missing_ok=True)
        return lines


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An empty stack."""
    path = tmp_path_factory.mktemp("engine")
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path / name], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {path}/host\nAuthorizedKeysFile {path}/client.pub\n"
        f"SetEnv HOME={path}\nStrictModes no\nUsePAM yes\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    (path / "Pulumi.yaml").write_text("name: test\nruntime: python\n")
    (path / "__main__.py").write_text(PROGRAM)
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", path / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        lab = Lab(
            path,
            {
                "port": port,
                "user": getpass.getuser(),
                "host_key": (path / "host.pub").read_text(),
                "create": f"echo create $(cat | wc -c) >> {path}/journal; echo hello",
                "delete": f"echo delete >> {path}/journal",
                "secret": SECRET,
                "triggers": ["one"],
                "text": "text\n",
                "target": f"{path}/copied/file",
            },
        )
        lab.pulumi("stack", "init")
        yield lab
    finally:
        server.terminate()
        server.wait()


def test_a_preview_shows_all_and_runs_nothing(lab: Lab) -> None:
    assert "3 to create" in lab.pulumi("preview").replace("+ ", "")
    assert lab.happened() == []


def test_up_runs_the_commands(lab: Lab) -> None:
    printed = lab.up()
    assert "3 created" in printed
    assert 'stdout: "hello"' in printed
    assert lab.happened() == [f"create {len(SECRET)}"]
    assert Path(lab.inputs["target"]).read_text() == "text\n"


def test_a_second_up_changes_nothing(lab: Lab) -> None:
    assert "3 unchanged" in lab.up()
    assert "3 unchanged" in lab.pulumi("refresh", "--yes")
    assert lab.happened() == []


def test_the_state_holds_neither_key_nor_standard_input(lab: Lab) -> None:
    state = (lab.path / ".pulumi/stacks/test/test.json").read_text()
    assert "hello" in state
    assert SECRET not in state
    assert "PRIVATE KEY" not in state
    assert (lab.path / "client").read_text().splitlines()[1] not in state


def test_a_changed_input_runs_create_again_or_update(lab: Lab) -> None:
    lab.inputs["secret"] = SECRET + "!"
    assert "1 updated" in lab.up()
    assert lab.happened() == [f"create {len(SECRET) + 1}"]
    lab.inputs["update"] = f"echo update >> {lab.path}/journal"
    assert "1 updated" in lab.up()
    assert lab.happened() == ["update"]


def test_a_changed_trigger_replaces(lab: Lab) -> None:
    lab.inputs["triggers"] = ["two"]
    assert "1 replaced" in lab.up()
    assert lab.happened() == ["delete", f"create {len(SECRET) + 1}"]


def test_a_failed_command_shows_its_output_and_not_its_input_and_is_run_again(lab: Lab) -> None:
    update = lab.inputs["update"]
    lab.inputs["update"] = f"echo attempt >> {lab.path}/journal; echo the reason; cat > /dev/null; exit 4"
    for _ in range(2):
        printed = lab.up(status=1)
        assert "exit status 4" in printed
        assert "the reason" in printed
        assert SECRET not in printed
        assert lab.inputs["update"] not in printed
    assert lab.happened() == ["attempt", "attempt"]
    lab.inputs["update"] = update
    assert "3 unchanged" in lab.up()


def runs(pid: str) -> bool:
    """Whether a process exists."""
    return Path("/proc", pid).exists()


def test_an_interrupt_stops_the_command_on_the_host(lab: Lab) -> None:
    update = lab.inputs["update"]
    lab.inputs["update"] = f"sleep 600 & echo $! >> {lab.path}/journal; wait"
    begun = time.monotonic()
    assert "stopped after" in lab.interrupted_up()
    assert time.monotonic() - begun < 60
    (pid,) = lab.happened()
    assert not runs(pid)
    lab.inputs["update"] = update


def test_a_custom_timeout_stops_the_command_on_the_host(lab: Lab) -> None:
    update = lab.inputs["update"]
    lab.inputs["limit"] = "2s"
    lab.inputs["update"] = f"sleep 600 & echo $! >> {lab.path}/journal; wait"
    assert "stopped after 2s: context deadline exceeded" in lab.up(status=1)
    (pid,) = lab.happened()
    assert not runs(pid)
    lab.inputs["update"] = update
    del lab.inputs["limit"]


def test_another_host_key_fails_at_once(lab: Lab) -> None:
    right = lab.inputs["host_key"]
    lab.inputs["host_key"] = (lab.path / "client.pub").read_text()
    begun = time.monotonic()
    assert "another host key than expected" in lab.up(status=1)
    assert time.monotonic() - begun < 30
    lab.inputs["host_key"] = right


def test_a_wrong_connection_is_found_at_a_preview(lab: Lab) -> None:
    right = lab.inputs["host_key"]
    lab.inputs["host_key"] = "nonsense"
    printed = lab.pulumi("preview", status=1)
    assert "connection.hostKey" in printed
    assert "not a public key" in printed
    lab.inputs["host_key"] = right


def test_destroy_runs_the_delete_commands_and_leaves_nothing(lab: Lab) -> None:
    assert "3 deleted" in lab.pulumi("destroy", "--yes", "--skip-preview")
    assert lab.happened() == ["delete"]
