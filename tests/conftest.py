"""Options shared by all tests."""

import hashlib
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are rewritten on demand, then reviewed as part of the change; a seed repeats a run of faults.

    What runs on real machines runs the default release from its own template, unless told otherwise.
    """
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files from the present output")
    parser.addoption("--seed", help="repeat the run of faults that printed this seed")
    parser.addoption(
        "--keep", action="store_true", help="begin with the lab that such a run of faults left, and leave it"
    )
    parser.addoption("--release", help="the release that tests on real machines run")
    parser.addoption("--template", type=Path, help="the cloud image that they run it from")


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """What tests on real machines were told of the lab's configuration: key -> value."""
    release, template = request.config.getoption("--release"), request.config.getoption("--template")
    chosen = {"release": release} if release else {}
    if template:
        digest = hashlib.sha256(template.read_bytes()).hexdigest()
        chosen |= {"template": str(template.resolve()), "templateSha256": digest}
    return chosen
