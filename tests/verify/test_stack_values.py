"""A stack's values, read with the real engine in a checkout of the test's own."""

import json
import subprocess
from pathlib import Path

import pytest

from components.secrets import Secrets
from tests import stacks
from tests.setup.conftest import Checkout, copy
from tools import stack

READ = """\
import json, sys
from tools import stack_values, steps
try:
    read = stack_values.complete("{name}")
except steps.StepError as error:
    steps.report(error)
    sys.exit(1)
print(json.dumps({{
    "nodes": [node.name for node in read.site.topology.nodes],
    "master": read.secrets.master,
    "password": read.secrets.value("glance_database_password"),
    "uri": read.hypervisor.uri,
    "image": read.tenant.image_name,
}}))
"""


@pytest.fixture(autouse=True)
def _no_settings_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with a stack, an overridden password, and what set-up says of a machine."""
    made = copy(tmp_path_factory.mktemp("values") / "checkout")
    (made.path / ".lab").mkdir()
    (made.path / ".lab" / "host.json").write_text(json.dumps(stacks.facts()))
    done = made.python("from tools import stack; stack.ensure('lab')")
    assert done.returncode == 0, done.stdout
    return made


def read(checkout: Checkout, name: str = "lab") -> subprocess.CompletedProcess[str]:
    """Read a stack's values there and print them."""
    return checkout.python(READ.format(name=name))


def test_the_complete_values_are_those_of_the_engine(checkout: Checkout) -> None:
    done = read(checkout)
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["nodes"] == [node.name for node in stacks.load("lab").site.topology.nodes]
    assert found["master"] == checkout.ask(
        f"stack._pulumi('lab', 'config', 'get', '{stack.MASTER_SECRET}', '-s', 'lab')"
    )
    assert found["password"] == Secrets(master=found["master"]).value("glance_database_password")
    assert (found["uri"], found["image"]) == ("qemu:///system", "cirros-0.5.1")


def test_a_stack_that_is_not_there_is_named(checkout: Checkout) -> None:
    done = read(checkout, "lap")
    assert done.returncode == 1
    assert "there is no stack 'lap': Pulumi.lap.yaml is missing" in done.stdout


def test_values_that_cannot_be_used_are_reported_like_the_program_does(checkout: Checkout) -> None:
    settings: Path = checkout.path / "Pulumi.lab.yaml"
    before = settings.read_text()
    settings.write_text(before.replace("address: 172.16.0.101", "address: 172.17.0.101"))
    try:
        done = read(checkout)
    finally:
        settings.write_text(before)
    assert done.returncode == 1
    assert "openstack-lab:nodes.controller1.address: '172.17.0.101' is not allowed" in done.stdout


def test_a_passphrase_that_is_gone_is_said(checkout: Checkout) -> None:
    passphrase = checkout.path / ".lab" / "passphrase"
    hidden = passphrase.rename(passphrase.with_name("hidden"))
    try:
        done = read(checkout)
    finally:
        hidden.rename(passphrase)
    assert done.returncode == 1
    assert "passphrase" in done.stdout
    assert "remedy: make setup STACK=lab" in done.stdout
