"""The real engine and the real providers plan both stacks before anything exists, template and image included."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests import checkout, stacks
from tests.program.test_program import GOLDEN
from tools import hypervisor, stack

OWN = ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE")


@pytest.mark.parametrize("name", stacks.STACKS)
def test_the_engine_plans_every_resource_of_all_three_layers(name: str, tmp_path: Path) -> None:
    """The plan is the golden list, and nothing of it has to be asked of a machine or an API."""
    directory, state = tmp_path / "checkout", tmp_path / "state"
    checkout.copy_to(directory)
    state.mkdir()
    (directory / ".lab").mkdir()
    file = directory / f"Pulumi.{name}.yaml"
    settings = yaml.safe_load(file.read_text())["config"]
    settings.pop("openstack-lab:masterSecret", None)
    file.write_text(yaml.safe_dump({"config": settings}))
    host = hypervisor.ensure()
    facts = stacks.facts() | {"libvirt_uri": host.uri, "pool": host.pool, "domain_type": host.domain_type}
    (directory / ".lab" / "host.json").write_text(json.dumps(facts))
    environment = {key: value for key, value in stack.environment(host).items() if key not in OWN}
    environment |= {"PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE": "test"}

    def pulumi(*words: str, stdin: str = "") -> str:
        done = subprocess.run(
            host.command(["pulumi", *words, "--stack", name, "--non-interactive"]),
            cwd=directory,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    pulumi("stack", "init")
    pulumi("config", "set", "--secret", "masterSecret", stdin=stacks.MASTER)
    begun = time.monotonic()
    planned = json.loads(pulumi("preview", "--json"))["steps"]
    print(f"preview of {name}: {len(planned)} resources in {time.monotonic() - begun:.1f} s")
    assert {step["op"] for step in planned} == {"create"}
    names = {(step["urn"].split("::")[2].rpartition("$")[2], step["urn"].rpartition("::")[2]) for step in planned}
    golden = {
        (urn.split("::")[2].rpartition("$")[2], urn.rpartition("::")[2])
        for urn in (GOLDEN / f"{name}.txt").read_text().split()
    }
    assert names == golden
