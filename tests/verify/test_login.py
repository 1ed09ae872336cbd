"""OpenSSH's client as `make ssh` starts it, against a real server on loopback."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import stacks
from tests.verify import servers
from tools import login, paths, stack_values
from tools.steps import StepError

LOGIN, HOST, OTHER = (stacks.load("compact").secrets.ssh_key(name) for name in ("operator", "host", "other"))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the key lies while a client runs."""
    monkeypatch.setattr(paths, "STATE", tmp_path)
    return tmp_path


def connect(port: int, *words: str) -> int:
    """The exit status of a client that expects HOST."""
    return login.connect("127.0.0.1", words, name="node1.example", login=LOGIN, host=HOST, port=port)


def test_a_command_s_output_and_status_are_those_of_the_machine(state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with servers.ssh(HOST, LOGIN, output="node1\n") as port:
        assert connect(port, "hostname") == 0
    assert capfd.readouterr().out == "node1\n"
    with servers.ssh(HOST, LOGIN, output="no such unit\n", status=4) as port:
        assert connect(port, "systemctl status x") == 4
    assert list(state.iterdir()) == []


def test_a_shell_that_ended_with_a_failed_command_has_not_failed(capfd: pytest.CaptureFixture[str]) -> None:
    with servers.ssh(HOST, LOGIN, output="no such file\n", status=1) as port:
        assert connect(port) == 0
    assert "no such file\n" in capfd.readouterr().err


def test_another_host_key_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with servers.ssh(OTHER, LOGIN) as port:
        assert connect(port) == 255
    assert "node1.example" in capfd.readouterr().err


CLIENT = """
import pathlib, sys
from tests.verify.test_login import connect
from tools import paths
paths.STATE = pathlib.Path(sys.argv[1])
sys.exit(connect(int(sys.argv[2]), "sleep"))
"""


def keys(state: Path, *, there: bool) -> list[Path]:
    """The keys that lie there, once there are some, or none any more."""
    deadline = time.monotonic() + 10
    while bool(found := list(state.glob("login-*/key"))) != there and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_the_key_is_gone_with_the_terminal(state: Path, number: signal.Signals) -> None:
    with servers.ssh(HOST, LOGIN, delay=3) as port:
        client = subprocess.Popen([sys.executable, "-c", CLIENT, state, str(port)], cwd=Path(__file__).parents[2])
        [key] = keys(state, there=True)
        assert key.stat().st_mode & 0o777 == 0o600
        client.send_signal(number)
        assert client.wait(10) == 128 + number
    assert list(state.iterdir()) == []


def test_the_key_of_a_killed_client_goes_with_the_next_one(state: Path) -> None:
    with servers.ssh(HOST, LOGIN, delay=1) as port:
        client = subprocess.Popen([sys.executable, "-c", CLIENT, state, str(port)], cwd=Path(__file__).parents[2])
        assert keys(state, there=True)
        client.kill()
        client.wait()
        assert keys(state, there=True)
        assert connect(port, "true") == 0
    assert list(state.iterdir()) == []


def test_a_node_that_is_none_is_told_with_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_values, "complete", stacks.load)
    with pytest.raises(StepError, match="'node2' is no enabled node of stack compact; allowed: controller1, node1"):
        login.main(["--stack", "compact", "node2"])
