"""Every setting of the guide is rendered with the guide's value, or the release says why not; and nothing else is.

`settings.csv` is the guide's table, whole. Each release has a directory with two more: `differences.csv`, what it has
in place of the guide's value, and `additions.csv`, what it has besides, both with reasons. Paths are the guide's own.
A release that is packaged like another has only its own rows; for the rest the other's hold.
"""

import csv
import functools
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

import pytest

from components import remote
from components.cloud import clients
from components.config import Config
from components.kvm import cloud_init
from components.releases import RELEASES
from components.services.model import Site
from components.topology import Node, Role
from tests import stacks
from tests.guide import formats

HERE = Path(__file__).parent
MAP = stacks.CHECKOUT / "docs" / "guide-map.md"

CLIENT = "client"
"""In the tables beside the roles: where a user of the cloud works. Nothing of the lab is rendered for `host`."""

ABSENT = "(absent)"

LIKE = {"epoxy-debian13": "zed-debian12"}
"""A release -> another whose rows hold for it, but for what its own say of the same setting."""

Place: TypeAlias = tuple[str, str, str, str]
"""Role, file, section and key."""


@dataclass(frozen=True)
class Row:
    """A row of a table; `text` is the value or the reason, `more` the rest."""

    place: Place
    text: str
    more: tuple[str, ...]

    def __str__(self) -> str:
        role, file, section, key = self.place
        return f"{role}: {file} [{section}] {key}"


def table(path: str, *columns: str) -> list[Row]:
    """A table's rows: role, file, section, key, then the columns named."""
    with (HERE / path).open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["role", "file", "section", "key", *columns]
    assert all(len(row) == len(header) for row in rows), path
    return [Row((row[0], row[1], row[2], row[3]), row[4], tuple(row[5:])) for row in rows]


def guide() -> list[Row]:
    """The guide's settings, and the chapter and the line of the guide's text in which each stands."""
    return table("settings.csv", "value", "chapter", "line")


def differences(release: str) -> list[Row]:
    """What a release renders in place of a setting of the guide, and why."""
    own = table(f"{release}/differences.csv", "here", "reason")
    places = {row.place for row in own}
    others = differences(LIKE[release]) if release in LIKE else []
    return own + [row for row in others if row.place not in places]


def additions(release: str) -> list[Row]:
    """What a release renders besides, and why; role, file, section and key are patterns."""
    return own_additions(release) + (additions(LIKE[release]) if release in LIKE else [])


def own_additions(release: str) -> list[Row]:
    """Those in the release's own table."""
    return table(f"{release}/additions.csv", "reason")


@functools.cache
def rendered(release: str) -> dict[str, dict[tuple[str, str, str], str]]:
    """Node or CLIENT -> file, section and key -> value, with the guide's passwords, for the guide's own machines."""
    config = stacks.load("lab", release=release, passwords="guide")
    files = {node.name: _on_node(config, node) for node in config.site.topology.nodes}
    files[CLIENT] = {
        client.file: clients.render(client, config.site, config.secrets) for client in (clients.ADMIN, clients.DEMO)
    }
    return {
        name: {
            (path, section, key): value
            for path, text in texts.items()
            for (section, key), value in formats.read(path, text).items()
        }
        for name, texts in files.items()
    }


def _on_node(config: Config, node: Node) -> dict[str, str]:
    site, secrets = config.site, config.secrets
    texts = {file.path: file.text for file in remote.foundation(site) if file.path != remote.LIBRARY_PATH}
    for service in site.catalogue:
        guides_path = {here: there for there, here in site.packaging(service).paths.items()}
        for file in site.files(service, node) if node in service.nodes(site.topology) else ():
            path = guides_path.get(file.path, file.path)
            assert texts.setdefault(path, file.text) == file.text, f"{service.name} has its own {path} on {node.name}"
    keys = remote.login_key_pair(secrets), remote.host_key_pair(node, secrets)
    documents = cloud_init.render(node, site, *keys)
    texts |= {
        f"cloud-init/{name}.yaml": getattr(documents, name) for name in ("user_data", "network_config", "meta_data")
    }
    return {path: secrets.fill(text) for path, text in texts.items()}


def site_of(release: str) -> Site:
    """The stack that is the guide's."""
    return stacks.load("lab", release=release).site


def here(release: str, place: Place) -> str:
    """The value of a setting on the guide's machine of that role, which is the role's first one, or ABSENT."""
    role, *setting = place
    if role == CLIENT:
        name = CLIENT
    elif role in list(Role):
        name = site_of(release).topology.having(Role(role))[0].name
    else:
        return ABSENT
    file, section, key = setting
    return rendered(release)[name].get((file, section, key), ABSENT)


def everything(release: str) -> set[Place]:
    """All that is rendered anywhere, once for each role of its node."""
    roles: dict[str, list[str]] = {CLIENT: [CLIENT]}
    roles |= {node.name: [str(role) for role in node.roles] for node in site_of(release).topology.nodes}
    return {
        (role, *setting) for name, settings in rendered(release).items() for role in roles[name] for setting in settings
    }


def covers(addition: Row, place: Place) -> bool:
    """Whether a row of additions, whose columns are patterns, names this setting."""
    return all(fnmatchcase(actual, pattern) for actual, pattern in zip(place, addition.place, strict=True))


def test_no_setting_of_the_guide_stands_twice_in_its_table() -> None:
    """Where the guide says a thing again, it says the same."""
    places = [row.place for row in guide()]
    assert len(places) == len(set(places))
    assert len(places) > 250


@pytest.mark.parametrize("release", RELEASES)
def test_every_setting_of_the_guide_is_rendered_or_stands_among_the_differences(release: str) -> None:
    """With the guide's own value, passwords included."""
    explained = {row.place for row in differences(release)}
    missed = [
        f"{row} = {row.text!r}, here {here(release, row.place)!r}"
        for row in guide()
        if row.place not in explained and here(release, row.place) != row.text
    ]
    assert missed == []


@pytest.mark.parametrize("release", RELEASES)
def test_every_difference_is_what_it_says_and_still_one(release: str) -> None:
    """A row is about a setting of the guide, says what is here in its place, and gives a reason."""
    theirs = {row.place: row.text for row in guide()}
    wrong = []
    for row in differences(release):
        actual = here(release, row.place)
        if row.place not in theirs:
            wrong.append(f"{row}: the guide has no such setting")
        elif actual == theirs[row.place]:
            wrong.append(f"{row}: no difference, {actual!r} is the guide's value")
        elif actual != row.text:
            wrong.append(f"{row}: here {actual!r}, not {row.text!r}")
        elif not row.more[0]:
            wrong.append(f"{row}: no reason")
    assert wrong == []
    places = [row.place for row in differences(release)]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("release", RELEASES)
def test_whatever_the_guide_does_not_say_stands_among_the_additions(release: str) -> None:
    """Every file of every node, cloud-init's documents and the clients' files included."""
    theirs = {row.place for row in guide()}
    unnamed = [
        place
        for place in sorted(everything(release) - theirs)
        if not any(covers(row, place) for row in additions(release))
    ]
    assert unnamed == []


@pytest.mark.parametrize("release", RELEASES)
def test_every_addition_is_rendered_and_is_none_of_the_guides(release: str) -> None:
    """A row that names nothing any more, or gives no reason, goes."""
    ours = everything(release) - {row.place for row in guide()}
    idle = [str(row) for row in own_additions(release) if not row.text or not any(covers(row, place) for place in ours)]
    assert idle == []


def test_the_guide_map_names_every_setting_in_its_chapter() -> None:
    """A table's chapter is the heading in docs/guide-map.md under which the setting is told."""
    chapters = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", MAP.read_text(), re.MULTILINE | re.DOTALL))
    unnamed = [
        f"{chapter}: {row}"
        for row in guide()
        for chapter, _ in [row.more]
        if row.place[3] not in chapters.get(chapter, "")
    ]
    assert unnamed == []
