"""Every file that the lab writes on a machine, and every cloud-init document, compared with its golden copy."""

import re
from pathlib import Path

import pytest

from components import remote
from components.kvm import cloud_init
from components.releases import RELEASES
from tests import stacks

GOLDEN = Path(__file__).parent


def rendered(release: str, stack: str) -> dict[str, str]:
    """Path below the golden directory -> text, secrets as placeholders."""
    config = stacks.load(stack, release=release)
    site = config.site
    files = {
        f"{release}/{stack}/{node.name}{file.path}": f"# {file.owner}:{file.group} {file.mode}\n{file.text}"
        for node in site.topology.nodes
        for service in site.catalogue
        if node in service.nodes(site.topology)
        for file in site.files(service, node)
    }
    files |= {
        f"{release}/{stack}/{node.name}{path}": text(site)
        for node in site.topology.nodes
        for path, text in site.release.foundation.items()
    }
    for node in site.topology.nodes:
        documents = cloud_init.render(
            node,
            site,
            remote.login_key_pair(config.secrets),
            remote.host_key_pair(node, config.secrets),
        )
        for name in ("user_data", "network_config", "meta_data"):
            text = re.sub(r"(BEGIN EC PRIVATE KEY-----).*(-----END)", r"\1 ... \2", getattr(documents, name))
            files[f"{release}/{stack}/{node.name}/cloud-init/{name}.yaml"] = text
    return files


@pytest.mark.parametrize("stack", stacks.STACKS)
@pytest.mark.parametrize("release", RELEASES)
def test_rendered_files_are_the_golden_ones(release: str, stack: str, request: pytest.FixtureRequest) -> None:
    """A difference is either a mistake or a change to be reviewed: `pytest --update-golden` rewrites them."""
    files = rendered(release, stack)
    directory = GOLDEN / release / stack
    present = {str(file.relative_to(GOLDEN)) for file in directory.rglob("*") if file.is_file()}
    if request.config.getoption("--update-golden"):
        for stale in present - files.keys():
            (GOLDEN / stale).unlink()
        for path, text in files.items():
            (GOLDEN / path).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / path).write_text(text)
        return
    assert present == files.keys()
    for path, text in files.items():
        assert text == (GOLDEN / path).read_text(), path
