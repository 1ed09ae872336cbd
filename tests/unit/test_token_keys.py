"""The script that gives Keystone its keys of the week, run as the timer does."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken

from tests import stacks

WEEK = 7 * 24 * 3600
THURSDAY = 1_795_651_200
"""2026-11-26 00:00 UTC, when a week of the epoch begins."""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """As it stands on a controller."""
    site = stacks.load("lab").site
    controller = site.topology.nodes[0]
    (text,) = (file.text for file in site.files_on(controller) if file.path == "/usr/local/sbin/keystone-token-keys")
    script = tmp_path / "keystone-token-keys"
    script.write_text(text)
    (tmp_path / "seed").write_text("seed\n")
    return script


def keys(script: Path, at: float) -> dict[str, bytes]:
    """The keys that the script leaves at a moment."""
    directory = script.parent / "keys"
    directory.mkdir(exist_ok=True)
    subprocess.run([sys.executable, script, script.parent / "seed", directory, str(at)], check=True, timeout=30)
    assert {file.stat().st_mode & 0o777 for file in directory.iterdir()} == {0o600}
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def test_there_are_three_keys_that_fernet_takes(script: Path) -> None:
    found = keys(script, THURSDAY)
    assert sorted(found) == ["0", "1", "2"]
    assert len(set(found.values())) == 3
    for key in found.values():
        assert Fernet(key).decrypt(Fernet(key).encrypt(b"token")) == b"token"


def test_keys_stay_the_same_for_a_week(script: Path) -> None:
    assert keys(script, THURSDAY) == keys(script, THURSDAY + WEEK - 1)


def test_every_week_each_key_moves_on(script: Path) -> None:
    """Next week's becomes this week's, this week's last week's."""
    before, after = keys(script, THURSDAY), keys(script, THURSDAY + WEEK)
    assert (after["2"], after["1"]) == (before["0"], before["2"])
    assert after["0"] not in before.values()


def test_tokens_outlive_one_change_of_keys_and_no_second(script: Path) -> None:
    token = Fernet(keys(script, THURSDAY)["2"]).encrypt(b"token")
    after = keys(script, THURSDAY + WEEK)
    assert Fernet(after["1"]).decrypt(token) == b"token"
    for key in keys(script, THURSDAY + 2 * WEEK).values():
        with pytest.raises(InvalidToken):
            Fernet(key).decrypt(token)
