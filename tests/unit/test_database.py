"""A service's user in the database, by the lab's own statements in a MariaDB of the test's own."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.services import database
from tests.unit import test_lib

SHARE = Path("/usr/share/mysql")
TABLES = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Home of a client that is root of a server that no network reaches."""
    home = tmp_path_factory.mktemp("mariadb")
    data, socket = home / "data", home / "socket"
    (data / "mysql").mkdir(parents=True)
    (home / ".my.cnf").write_text(f"[client]\nsocket = {socket}\n[mysql]\nuser = root\n")
    daemon = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}"]
    tables = "use mysql;\n" + "".join((SHARE / name).read_text() for name in TABLES)
    tables = tables.replace("@auth_root_socket", "NULL")
    subprocess.run([*daemon, "--bootstrap"], input=tables, text=True, capture_output=True, check=True, timeout=60)
    options = [f"--socket={socket}", "--skip-networking", "--innodb-buffer-pool-size=8M"]
    with subprocess.Popen([*daemon, *options], stderr=subprocess.DEVNULL) as process:
        waited = run(home, "wait_for MariaDB 60 sql -e 'SELECT 1'")
        assert waited.returncode == 0, waited.stderr
        yield home
        process.terminate()


def run(server: Path, script: str, password: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script as the database's machine does, with that password of Glance."""
    return test_lib.run(f"export HOME={server}\n{script}", {"glance_database_password": password})


def good(server: Path, *passwords: str) -> list[str]:
    """Those of the passwords that let Glance in."""
    query = 'mysql -u glance -e "SELECT 1 FROM glance.images" 2>&1 || true'
    return [
        password for password in passwords if "doesn't exist" in run(server, f"MYSQL_PWD={password} {query}").stdout
    ]


def test_a_former_password_is_good_until_it_is_retired(server: Path) -> None:
    """Services have it until their own restart. Each script may run any number of times."""
    grant, retire = database.grant("glance", ["glance"]), database.retire("glance")
    for password, before, between in (
        ("first", [], ["first"]),
        ("second", ["first"], ["first", "second"]),
        ("third", ["second"], ["second", "third"]),
    ):
        assert good(server, "first", "second", "third") == before
        for script, taken in ((grant, between), (grant, between), (retire, [password]), (retire, [password])):
            done = run(server, script, password)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert good(server, "first", "second", "third", "") == taken


def test_a_rotation_that_was_broken_off_goes_on(server: Path) -> None:
    """The next update grants once more, and the password that services still have stays good."""
    grant, retire = database.grant("glance", ["glance"]), database.retire("glance")
    for script, password in ((grant, "one"), (retire, "one"), (grant, "two"), (grant, "two")):
        assert run(server, script, password).returncode == 0
    assert good(server, "one", "two") == ["one", "two"]
    assert run(server, retire, "two").returncode == 0
    assert good(server, "one", "two") == ["two"]
