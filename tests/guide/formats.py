"""The lab's configuration files, read back as settings: (section, key) -> value, each file by its own format."""

import ast
import configparser
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, TypeAlias

import yaml

Setting: TypeAlias = tuple[str, str, str]
"""Section ("" where there is none), key and value."""

_TWO_WORDS = {"option", "timeout", "server", "stats", "Alias", "WSGIScriptAlias"}
"""Directives that may be given several times and are told apart by their first argument."""


def read(path: str, text: str) -> dict[tuple[str, str], str]:
    """The file's settings. A setting that is given twice is an error: the table could name only one."""
    settings: dict[tuple[str, str], str] = {}
    for section, key, value in _format(path)(text):
        if (section, key) in settings:
            raise ValueError(f"{path}: [{section}] {key} is given twice")
        settings[section, key] = value
    return settings


def _format(path: str) -> Callable[[str], Iterator[Setting]]:
    for pattern, reader in _FORMATS.items():
        if PurePosixPath(path).match(pattern):
            return reader
    return _ini


def _ini(text: str) -> Iterator[Setting]:
    """oslo.config, MariaDB, systemd, sysctl."""
    parser = configparser.ConfigParser(delimiters="=", default_section="\0", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(f"[\1]\n{text}")
    for section in parser.sections():
        yield from ((section.strip("\1"), key, value) for key, value in parser[section].items())


def _shell(text: str) -> Iterator[Setting]:
    """Variables: openrc files, /etc/default, /etc/sysconfig."""
    for line in _lines(text):
        key, _, value = line.removeprefix("export ").partition("=")
        yield "", key, value.strip('"')


def _restarts(text: str) -> Iterator[Setting]:
    """The guide's restart scripts: each unit."""
    for line in _lines(text):
        _systemctl, verb, *units = line.split()
        yield from (("", unit, verb) for unit in units)


def _words(text: str) -> Iterator[Setting]:
    """A directive and its arguments a line; a block in braces or angle brackets is a section."""
    sections: list[str] = []
    for line in _lines(text):
        if line.endswith("{"):
            sections.append(line.removesuffix("{").strip())
        elif opened := re.fullmatch(r"<([^/].*)>", line):
            sections.append(opened[1])
        elif line == "}" or line.startswith("</"):
            sections.pop()
        else:
            yield " / ".join(sections), *_directive(line)


def _haproxy(text: str) -> Iterator[Setting]:
    """As _words, where a line that is not indented opens a section."""
    section = ""
    for line in text.splitlines():
        if line.startswith(" "):
            yield section, *_directive(line)
        elif line:
            section = line


def _directive(line: str) -> tuple[str, str]:
    words = line.split()
    count = 2 if words[0] in _TWO_WORDS else 1
    return " ".join(words[:count]), " ".join(words[count:])


def _python(text: str) -> Iterator[Setting]:
    """Django's settings: a key of a dictionary is a setting with the dictionary as its section."""
    for statement in ast.parse(text).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise ValueError(f"not an assignment: {ast.unparse(statement)}")
        yield from _assigned("", statement.targets[0].id, statement.value)


def _assigned(section: str, key: str, value: ast.expr) -> Iterator[Setting]:
    if isinstance(value, ast.Dict):
        for name, inner in zip(value.keys, value.values, strict=True):
            assert name is not None, "a dictionary is taken into another one"
            yield from _assigned(f"{section}.{key}".strip("."), ast.literal_eval(name), inner)
    else:
        yield section, key, ast.unparse(value)


def _yaml(text: str) -> Iterator[Setting]:
    """cloud-init's documents and JSON: the way to a value, joined by dots, is its section."""
    yield from _nested("", yaml.safe_load(text))


def _nested(section: str, value: Any) -> Iterator[Setting]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from _nested(f"{section}.{key}".strip("."), inner)
        else:
            yield section, str(key), str(inner)


def _whole(text: str) -> Iterator[Setting]:
    """A program, or a file with one thing in it."""
    yield "", "(all)", text


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.strip()


_FORMATS: dict[str, Callable[[str], Iterator[Setting]]] = {
    "haproxy.cfg": _haproxy,
    "rabbitmq-env.conf": _shell,
    "/etc/default/*": _shell,
    "/etc/sysconfig/*": _shell,
    "*-openrc": _shell,
    "*.sh": _restarts,
    "/usr/local/sbin/*": _whole,
    "token-seed": _whole,
    "nftables.conf": _whole,
    "/etc/openstack-lab/firewall": _whole,
    "rabbitmq.config": _whole,
    "enabled_plugins": _whole,
    "ifcfg-*": _shell,
    "_9998_yaml.py": _whole,
    "*.py": _python,
    "local_settings": _python,
    "*.yaml": _yaml,
    "cloud.cfg.d/*.cfg": _yaml,
    "*.json": _yaml,
    "keepalived.conf": _words,
    "memcached.conf": _words,
    "chrony.conf": _words,
    "resolv.conf": _words,
    "apache2/*.conf": _words,
    "apache2/*/*.conf": _words,
    "httpd/*/*.conf": _words,
    "modules-load.d/*.conf": _words,
    "/etc/hosts": _words,
}
"""Which files are not INI files; the first pattern that fits."""
