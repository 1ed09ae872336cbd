"""The rendered files by their own programs' checks, and every script of a machine by shellcheck."""

import json
import os
import re
import subprocess
from pathlib import Path, PurePath

import pytest

from components.releases import RELEASES
from components.topology import Node
from tests import stacks
from tests.program import engine

MODULES = Path("/usr/lib/apache2/modules")
WANTED_MODULES = ("mpm_event", "authz_core", "alias", "mime", "dir", "wsgi")
USERS = "haproxy|apache|www-data|keystone|placement|mysql"

CASES = [(release, stack) for release in RELEASES for stack in stacks.STACKS]


def nodes(release: str, stack: str) -> list[tuple[Node, dict[str, str]]]:
    """Every node and its files, secrets filled in."""
    config = stacks.load(stack, release=release)
    return [
        (node, {file.path: config.secrets.fill(file.text) for file in config.site.files_on(node)})
        for node in config.site.topology.nodes
    ]


def files(release: str, stack: str, name: str) -> list[str]:
    """The texts of the files of this name, on all nodes."""
    found = [
        text for _, texts in nodes(release, stack) for path, text in texts.items() if PurePath(path).match(name)
    ]
    assert found
    return found


def check(*words: str | Path) -> None:
    """Run a program's check; it says why in the failure."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stdout + done.stderr


def by_nobody(text: str) -> str:
    """The text with a user and a group that every Debian has."""
    text = re.sub(rf"\b(user[= ]|User )(?:{USERS})\b", r"\1nobody", text)
    return re.sub(rf"\b(group[= ]|Group )(?:{USERS})\b", r"\1nogroup", text)


@pytest.mark.parametrize(("release", "stack"), CASES)
def test_haproxy_takes_its_file(release: str, stack: str, tmp_path: Path) -> None:
    for text in files(release, stack, "haproxy.cfg"):
        (tmp_path / "haproxy.cfg").write_text(by_nobody(text))
        check("haproxy", "-c", "-q", "-f", tmp_path / "haproxy.cfg")


@pytest.mark.parametrize(("release", "stack"), CASES)
def test_keepalived_takes_its_file(release: str, stack: str, tmp_path: Path) -> None:
    """Whether the machine's interface is here, and CentOS's pidof, is no matter of the file."""
    for text in files(release, stack, "keepalived.conf"):
        text = text.replace("/usr/sbin/pidof", "/usr/bin/pidof")
        (tmp_path / "keepalived.conf").write_text(text.replace("global_defs {", "global_defs {\n  dynamic_interfaces"))
        check("keepalived", "-t", "-f", tmp_path / "keepalived.conf")


@pytest.mark.parametrize(("release", "stack"), CASES)
def test_mariadb_takes_its_file(release: str, stack: str, tmp_path: Path) -> None:
    """Debian has the socket's plugin built in."""
    for text in files(release, stack, "*openstack.cnf"):
        (tmp_path / "my.cnf").write_text(text.replace("plugin-load-add = auth_socket\n", ""))
        options = (f"--defaults-file={tmp_path / 'my.cnf'}", f"--datadir={tmp_path}", "--user=root")
        check("mariadbd", *options, "--verbose", "--help")


@pytest.mark.parametrize(("release", "stack"), CASES)
def test_apache_takes_its_files(release: str, stack: str, tmp_path: Path) -> None:
    """In a root of its own: its modules, its users, and empty places of what the sites serve."""
    for node, texts in nodes(release, stack):
        sites = {path: text for path, text in texts.items() if re.match("/etc/(httpd|apache2)/", path)}
        if not sites:
            continue
        root = tmp_path / node.name
        places = {place for text in sites.values() for place in re.findall(r'"?(/(?:usr|var|etc)/[\w./-]+)', text)}
        moved = {path: by_nobody(text) for path, text in sites.items()}
        for place in sorted(places, key=len, reverse=True):
            moved = {path: re.sub(rf"(?<!{root}){place}\b", f"{root}{place}", text) for path, text in moved.items()}
        for path, text in moved.items():
            (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (root / path.lstrip("/")).write_text(text)
        for place in ("httpd/conf.modules.d", "httpd/logs", "../var/log/httpd", "../var/log/placement", "../var/www/html"):
            (root / "etc" / place).mkdir(parents=True, exist_ok=True)
        (root / "etc/mime.types").touch()
        loads = "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in WANTED_MODULES)
        (root / "etc/httpd/conf.modules.d/00-all.conf").write_text(loads)
        main = root / "etc/httpd/conf/httpd.conf"
        if not main.exists():
            main = root / "apache2.conf"
            included = "".join(f"Include {root}{path}\n" for path in sites)
            main.write_text(f"ServerName {node.fqdn}\nErrorLog {root}/error.log\n{loads}{included}")
        check("apache2", "-t", "-d", root / "etc/httpd", "-f", main, "-c", f"PidFile {root}/pid")


@pytest.mark.parametrize(("release", "stack"), CASES)
def test_apache_redirects_within_a_site_or_has_but_one(release: str, stack: str) -> None:
    """What stands outside of a site holds for all: the APIs' clients ask for their root."""
    for _, texts in nodes(release, stack):
        sites = "".join(text for path, text in texts.items() if re.match("/etc/(httpd|apache2)/", path))
        if len(re.findall("^Listen ", sites, re.MULTILINE)) > 1:
            outside = re.sub("<VirtualHost.*?</VirtualHost>", "", sites, flags=re.DOTALL)
            assert "WSGIDaemonProcess dashboard" in outside
            assert re.findall(r"^\s*(?:Redirect|Rewrite).*", outside, re.MULTILINE) == []


@pytest.mark.parametrize(("release", "stack"), CASES)
def test_shellcheck_finds_nothing_in_any_script(release: str, stack: str, tmp_path: Path) -> None:
    """All scripts in one go; what only the library sets or reads is the library's."""
    scripts = []
    for name, command in engine.commands(engine.run(stack, json.dumps({"release": release}))).items():
        lines = command.inputs["create"].splitlines()
        assert lines[0].endswith("3<<'SCRIPT'")
        script = tmp_path / f"{name}.sh"
        script.write_text("\n".join(["#!/bin/bash", *lines[1 : lines.index("SCRIPT")]]) + "\n")
        scripts.append(script)
    assert len(scripts) > 50
    # The library is checked by itself; `secret`, `logs`, `files` and `units` are its own.
    check("shellcheck", "--exclude=SC1091,SC2034,SC2154", *scripts)


@pytest.mark.parametrize("release", RELEASES)
def test_shellcheck_finds_nothing_in_any_script_that_lies_on_a_machine(release: str, tmp_path: Path) -> None:
    for number, (_, texts) in enumerate(nodes(release, "lab")):
        for path, text in texts.items():
            if text.startswith("#!/bin/bash"):
                script = tmp_path / f"{number}-{path.rpartition('/')[2]}"
                script.write_text(text)
                check("shellcheck", script)


def test_shellcheck_finds_nothing_in_the_library() -> None:
    check("shellcheck", "--shell=bash", stacks.CHECKOUT / "components" / "lib.sh")
