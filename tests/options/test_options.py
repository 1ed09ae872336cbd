"""Every option that the lab sets exists in that very release, by the packages' own definitions."""

import json
import re
from collections.abc import Iterator

import pytest

from components.releases import RELEASES
from components.services.ini import Value
from components.services.model import Site
from tests import stacks
from tests.options import refresh
from tools.template.recipe import DEFAULT

_NOVA_NETWORK = "the guide's; nothing takes its place, since it went with nova-network"

KEPT_DEPRECATED: dict[str, dict[tuple[str, str, str], str]] = {
    "zed-debian12": {},
    "train-centos7": {
        ("glance-api.conf", "glance_store", "stores"): "the guide's; [DEFAULT] enabled_backends takes its place",
        ("glance-api.conf", "glance_store", "default_store"): "the guide's; default_backend takes its place",
        ("nova.conf", "DEFAULT", "use_neutron"): _NOVA_NETWORK,
        ("nova.conf", "DEFAULT", "firewall_driver"): _NOVA_NETWORK,
    },
    "epoxy-debian13": {},
}
"""Release -> (file, section, option) -> why a deprecated option is set all the same, and what takes its place."""

CHECKS = {
    "integer": re.compile(r"-?\d+"),
    "port number": re.compile(r"\d{1,5}"),
    "boolean": re.compile(r"true|false"),
    "floating point": re.compile(r"-?\d+(\.\d+)?"),
}


def definitions(release: str) -> dict[str, dict[str, dict[str, str]]]:
    """The committed definitions of a release."""
    found: dict[str, dict[str, dict[str, str]]] = json.loads((refresh.HERE / f"{release}.json").read_text())
    return found


def settings(site: Site, known: set[str]) -> Iterator[tuple[str, str, str, Value]]:
    """File, section, option and value of everything that is set in a file with definitions, on any node."""
    for service in site.catalogue:
        for node in service.nodes(site.topology):
            for file, ini in site.ini_files(service, node):
                if file.name in known:
                    yield from (
                        (file.name, section, option, value)
                        for section, options in ini.items()
                        for option, value in options.items()
                        if value is not None
                    )


def defined(sections: dict[str, dict[str, str]], section: str) -> dict[str, str]:
    """The options of a section; a Glance store's own section takes those of [glance_store]."""
    return sections.get(section) or (sections["glance_store"] if section == "file" else {})


@pytest.mark.parametrize("stack", stacks.STACKS)
@pytest.mark.parametrize("release", RELEASES)
def test_every_option_exists_has_its_type_and_is_not_deprecated(release: str, stack: str) -> None:
    """A misspelt option is silently ignored by oslo.config; here it is found."""
    files = definitions(release)
    site = stacks.load(stack, release=release).site
    wrong = []
    checked = 0
    for file, section, option, value in settings(site, set(files)):
        checked += 1
        kind, _, deprecated = defined(files[file], section).get(option, "unknown").partition(", ")
        if kind == "unknown" or (deprecated and (file, section, option) not in KEPT_DEPRECATED[release]):
            wrong.append(f"{file} [{section}] {option}: {deprecated or kind}")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if kind in CHECKS and "@" not in text and not CHECKS[kind].fullmatch(text):
            wrong.append(f"{file} [{section}] {option} = {text}: not of type {kind}")
    assert wrong == []
    assert checked > 20


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_kept_though_deprecated_is_set_and_deprecated(release: str) -> None:
    files = definitions(release)
    site = stacks.load("lab", release=release).site
    placed = {(file, section, option) for file, section, option, _ in settings(site, set(files))}
    deprecated = {
        (file, section, option)
        for file, section, option in placed
        if "deprecated" in defined(files[file], section).get(option, "")
    }
    assert KEPT_DEPRECATED[release].keys() == deprecated


@pytest.mark.machine
def test_the_committed_definitions_are_those_of_the_packages(settings: dict[str, str]) -> None:
    """`python -m tests.options.refresh RELEASE` brings them up to date."""
    release = settings.get("release", DEFAULT)
    assert refresh.packaged(release) == definitions(release)
