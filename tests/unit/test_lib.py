"""The shell library, run by a real bash as the machines do."""

import http.server
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parent.parent.parent / "components" / "lib.sh"
RUN = tempfile.TemporaryDirectory()
"""In the place of /run, for all scripts of one process."""


def run(script: str, secrets: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script behind the library, secrets on standard input."""
    library = f". {LIBRARY}\nfiles_lock={RUN.name}/files markers={RUN.name}/markers"
    stdin = "".join(f"{name}={value}\n" for name, value in (secrets or {}).items())
    return subprocess.run(
        ["bash", "-c", f"{library}\n{script}"], input=stdin, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_file_gets_its_secrets_owner_and_mode(tmp_path: Path) -> None:
    """Secrets with every character that a key may have, at the end of a line and before an at-sign."""
    target = tmp_path / "etc" / "service.conf"
    script = f"file {target} root:root 0640 <<'CONTENT'\nurl = u:@a_password@@host\nkey = @b_fernet@\n\nlast\nCONTENT\n"
    done = run(script, {"a_password": "p.w~1", "b_fernet": "abc-_123="})
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {target}\n"
    assert target.read_text() == "url = u:p.w~1@host\nkey = abc-_123=\n\nlast\n"
    assert target.stat().st_mode & 0o7777 == 0o640


def test_a_file_that_is_right_already_is_left_alone(tmp_path: Path) -> None:
    """Same text, owner and mode: same inode, nothing said."""
    target = tmp_path / "conf"
    script = f"file {target} root:root 0644 <<'CONTENT'\ntext\nCONTENT\n"
    run(script)
    before = target.stat()
    assert run(script).stdout == ""
    assert target.stat().st_ino == before.st_ino
    assert list(tmp_path.iterdir()) == [target]


def test_a_changed_mode_alone_is_mended(tmp_path: Path) -> None:
    """A secret file that somebody made readable."""
    target = tmp_path / "conf"
    script = f"file {target} root:root 0600 <<'CONTENT'\ntext\nCONTENT\n"
    run(script)
    target.chmod(0o644)
    assert run(script).stdout == f"wrote {target}\n"
    assert target.stat().st_mode & 0o7777 == 0o600


def test_scripts_may_write_the_same_file_side_by_side(tmp_path: Path) -> None:
    """As services do that share one."""
    target = tmp_path / "shared.conf"
    write = f"file {target} root:root 0640 <<'CONTENT'\nsame\nCONTENT\n"
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(run, [write * 5] * 8))
    assert [each.stderr for each in done] == [""] * 8
    assert "".join(each.stdout for each in done) == f"wrote {target}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["shared.conf"]


def test_the_first_file_after_a_boot_is_noted_with_its_time(tmp_path: Path) -> None:
    """Once, and a second too early: a clock ticks some hundred times a second."""
    script = f"markers={tmp_path}/markers\nfile {tmp_path}/conf root:root 0644 <<<text\n"
    run(script)
    first = tmp_path / "markers" / "first"
    noted = first.stat().st_mtime
    assert 0.9 < (tmp_path / "conf").stat().st_mtime - noted < 10
    run(script)
    assert first.stat().st_mtime == noted


def test_waiting_in_vain_says_for_what_and_where() -> None:
    """And ends with the status of a time-out."""
    done = run('wait_for "database keystone" 1 false')
    assert done.returncode == 124
    assert "while waiting for database keystone (up to 1 s)" in done.stderr
    assert done.stderr.startswith("failed on ")


def test_between_two_questions_lie_five_seconds_at_most() -> None:
    """However long a question takes: a request to a service that is loading ends after half a minute."""
    script = """
    sleep() { echo "pause $1"; }
    asked=0
    answers() { asked=$((asked + 1)); [ $asked = 1 ] && command sleep 1.5; [ $asked = 3 ]; }
    wait_for "an answer" 60 answers
    """
    assert run(script).stdout.split("\n") == ["pause 5", "pause 1", ""]


def test_the_last_log_lines_are_shown_without_secrets(tmp_path: Path) -> None:
    """Each of this script's secrets is masked wherever it shows."""
    log = tmp_path / "service.log"
    log.write_text("old\n" * 40 + "cannot connect to mysql://keystone:hunter2-key@vip\n")
    done = run(f"logs=({log})\nfalse", {"keystone_database_password": "hunter2-key"})
    assert done.returncode == 1
    assert "mysql://keystone:***@vip" in done.stderr
    assert "hunter2-key" not in done.stderr + done.stdout
    assert done.stderr.count("old") == 24


def test_a_failing_command_inside_a_function_ends_the_script() -> None:
    """`set -e` with an inherited trap: nothing goes on behind a failure."""
    done = run("step() { false; echo went on; }\nstep\necho went on")
    assert done.returncode == 1
    assert "went on" not in done.stdout


SYSTEMCTL = """\
#!/bin/sh
echo "${SYSTEMD_OFFLINE:+offline: }$*" >>"${0%/*}/said"
case $1 in show) echo NeedDaemonReload=no ;; esac
"""


def test_units_are_restarted_for_other_files_only(tmp_path: Path) -> None:
    """Of another digest, or written anew since: a file that somebody had changed is back, with the digest as before."""
    systemctl, conf = tmp_path / "systemctl", tmp_path / "conf"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)

    def restarted(text: str, digest: str) -> bool:
        (tmp_path / "said").unlink(missing_ok=True)
        script = f"""PATH={tmp_path}:$PATH markers={tmp_path}/markers files=({conf})
            file {conf} root:root 0644 <<<"{text}"
            start glance {digest} restart glance-api.service"""
        done = run(script)
        assert done.returncode == 0, done.stderr
        said = (tmp_path / "said").read_text().splitlines()
        assert said[0] == "offline: enable --quiet --no-reload glance-api.service"
        return "restart glance-api.service" in said

    assert restarted("one", "aaaa")
    assert not restarted("one", "aaaa")
    assert restarted("two", "bbbb")
    conf.write_text("changed by hand\n")
    assert restarted("two", "bbbb")
    assert not restarted("two", "bbbb")


DPKG = """\
#!/bin/sh
# dpkg-query, dpkg and apt-get: one package, installed or not.
here=${0%/*}
policy=$([ -x "$here/policy-rc.d" ] && echo ", nothing starts")
case ${0##*/} in
  dpkg-query) cat "$here/status" ;;
  *)
    echo "${0##*/} $*$policy" >>"$here/said"
    case " $* " in *" install "*) echo "installed chrony" >"$here/status" ;; esac
    ;;
esac
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A directory with package tools of the test's own, and what they say."""
    for name in ("dpkg-query", "dpkg", "apt-get"):
        (tmp_path / name).write_text(DPKG)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def installed(packages: Path) -> list[str]:
    """Run the step that installs a package; what it had the tools do."""
    script = f"PATH={packages}:$PATH policy={packages}/policy-rc.d\ninstall_debian chrony"
    done = run(script)
    assert done.returncode == 0, done.stderr
    said = packages / "said"
    lines = said.read_text().splitlines() if said.exists() else []
    said.unlink(missing_ok=True)
    return lines


@pytest.mark.parametrize("status", ["", "half-configured chrony\n"], ids=["nothing there", "a reset in its middle"])
def test_packages_are_installed_whatever_a_reset_has_left(packages: Path, status: str) -> None:
    """APT does nothing before dpkg has ended what it was at; nothing starts before it has its files."""
    (packages / "status").write_text(status)
    configure, update, install = installed(packages)
    assert configure == "dpkg --configure -a, nothing starts"
    assert update.endswith(" update, nothing starts")
    assert install.endswith(" install --yes --no-install-recommends -- chrony, nothing starts")
    assert not (packages / "policy-rc.d").exists()
    assert installed(packages) == []


def test_what_a_killed_run_forbade_may_start_again(packages: Path) -> None:
    """Killed behind the last package, and before it was allowed again."""
    (packages / "status").write_text("installed chrony\n")
    (packages / "policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    assert installed(packages) == []
    assert not (packages / "policy-rc.d").exists()


class _Server(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names; logs in who has the right password."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def do_POST(self) -> None:
        login = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        user = login["auth"]["identity"]["password"]["user"]
        right = {"name": "glance", "domain": {"id": "default"}, "password": "present"}
        self.send_response(201 if user == right else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where somebody answers on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("status", "answers"), [(200, True), (300, True), (401, True), (404, True), (503, False)])
def test_an_answer_is_the_service_s_own_unless_a_proxy_gives_it(port: int, status: int, *, answers: bool) -> None:
    """Keystone lists its versions with 300, others want a token; HAProxy without a server behind it says 503."""
    assert (run(f"answers_http http://127.0.0.1:{port}/{status}").returncode == 0) == answers
    assert run(f"answers_tcp 127.0.0.1 {port}").returncode == 0


def test_tcp_and_http_answers_are_told_apart_from_silence() -> None:
    """Port 1 on loopback is closed."""
    assert run("answers_tcp 127.0.0.1 1").returncode != 0
    assert run("answers_http http://127.0.0.1:1/").returncode != 0


@pytest.mark.parametrize(("password", "takes"), [("present", True), ("former", False)])
def test_keystone_is_asked_by_the_password_itself(port: int, password: str, *, takes: bool) -> None:
    """As JSON on curl's standard input: its arguments show in process lists."""
    script = f"""
        curl() {{ echo "$*" >&2; command curl "$@"; }}
        keystone_takes http://127.0.0.1:{port}/v3/auth/tokens glance "${{secret[glance_identity_password]}}" """
    done = run(script, {"glance_identity_password": password})
    assert (done.returncode == 0) == takes
    assert "/v3/auth/tokens" in done.stderr
    assert password not in done.stderr


@pytest.mark.parametrize(
    ("state", "said"),
    [("active", ["asked", "asked", "restart glance-api.service"]), ("inactive", ["restart glance-api.service"])],
)
def test_what_runs_is_restarted_once_others_know_its_new_password(tmp_path: Path, state: str, said: list[str]) -> None:
    """Until then the one it has is good; what does not run has nothing to wait for."""
    script = f"""
        systemctl() {{
          case $1 in
          is-active) [ {state} = active ] ;;
          restart) echo "$*" ;;
          esac
        }}
        sleep() {{ :; }}
        asked=0
        takes() {{ echo asked >&2; asked=$((asked + 1)); [ $asked = 2 ]; }}
        wait_for() {{ while ! "${{@:3}}" 2>&1; do :; done; }}
        markers={tmp_path}/markers restart_after=(Keystone 60 takes)
        start glance aaaa restart glance-api.service
        start glance aaaa restart glance-api.service"""
    done = run(script)
    assert done.returncode == 0, done.stderr
    # What is inactive after its start is started again.
    assert done.stdout.splitlines()[: len(said)] == said
    assert done.stdout.count("asked") == said.count("asked")


def units(directory: Path, *running: str) -> str:
    """A systemd of two units, `api` and `worker`, of which these run; it prints what it is told to change."""
    directory.mkdir(exist_ok=True)
    for unit in running:
        (directory / unit).touch()
    return f"""
        systemctl() {{
          local verb=$1 unit status=3
          shift
          case $verb in
          # As the real one: content with one of them.
          is-active) for unit; do [ ! -e {directory}/"$unit" ] || status=0; done; return $status ;;
          start) for unit; do [ -e {directory}/"$unit" ] || echo "start $unit"; touch {directory}/"$unit"; done ;;
          restart) for unit; do echo "restart $unit"; touch {directory}/"$unit"; done ;;
          esac
        }}
        markers={directory.parent}/markers
        """


def test_a_unit_that_was_stopped_is_started_though_others_run(tmp_path: Path) -> None:
    """And nothing is restarted for it."""
    systemd = units(tmp_path / "units")
    start = f"{systemd}\nstart nova aaaa restart api worker"
    assert run(start).stdout.splitlines() == ["restart api", "restart worker", "restart nova"]
    (tmp_path / "units" / "worker").unlink()
    assert run(start).stdout.splitlines() == ["start worker", "start nova"]
    assert run(start).stdout == ""


@pytest.mark.parametrize(
    ("before", "said"),
    [("text\n", ["start worker", "start nova"]), ("changed by hand\n", ["restart api", "restart worker"])],
)
def test_what_a_boot_has_started_with_its_files_is_not_started_again(
    tmp_path: Path, before: str, said: list[str]
) -> None:
    """They are as old as the disk; one that is not is written anew, and read by a restart."""
    conf = tmp_path / "conf"
    conf.write_text(before)
    os.utime(conf, (0, 0))
    systemd = units(tmp_path / "units", "api")
    script = f"""{systemd}
        file {conf} root:root 0644 <<<text >/dev/null
        files=({conf})
        start nova aaaa restart api worker"""
    assert run(script).stdout.splitlines()[:2] == said
    assert run(script).stdout == ""


STAGED = """
last=(worker)
start nova {digest} restart api
echo answers
restart_last nova {digest} restart
"""


def test_what_serves_no_client_restarts_last(tmp_path: Path) -> None:
    """Once the others answer again; a machine that has just been booted starts all of them at once."""
    systemd = units(tmp_path / "units")
    first = run(systemd + STAGED.format(digest="aaaa")).stdout.splitlines()
    assert first == ["restart api", "restart worker", "restart nova", "answers"]
    assert run(systemd + STAGED.format(digest="aaaa")).stdout.splitlines() == ["answers"]
    changed = run(systemd + STAGED.format(digest="bbbb")).stdout.splitlines()
    assert changed == ["restart api", "restart nova", "answers", "restart worker"]
    assert run(systemd + STAGED.format(digest="bbbb")).stdout.splitlines() == ["answers"]


def test_a_run_that_was_killed_before_the_last_units_restarts_them_yet(tmp_path: Path) -> None:
    systemd = units(tmp_path / "units", "api", "worker")
    killed = STAGED.replace("echo answers", "exit 9").format(digest="aaaa")
    assert run(systemd + killed).stdout.splitlines() == ["restart api", "restart nova"]
    again = run(systemd + STAGED.format(digest="aaaa")).stdout.splitlines()
    assert again == ["restart api", "restart nova", "answers", "restart worker"]


def test_a_file_that_is_read_anew_restarts_nothing(tmp_path: Path) -> None:
    """Unless its units have been restarted anyway, which read it."""
    conf, live = tmp_path / "conf", tmp_path / "live"
    conf.write_text("listen\n")

    def said(digest: str, text: str) -> list[str]:
        script = f"""
            systemctl() {{ [ "$1" != restart ] || echo "$*"; }}
            markers={tmp_path}/markers
            file {live} root:root 0640 <<<"{text}"
            files=({conf})
            start rabbitmq {digest} restart rabbitmq-server.service
            files=({live})
            reread rabbitmq-live {text} sh -c 'echo read >>{tmp_path}/reads'"""
        done = run(script)
        assert done.returncode == 0, done.stderr
        return [line.removesuffix(f" {live}") for line in done.stdout.splitlines()]

    restarts = ["restart rabbitmq-server.service", "restart rabbitmq"]
    assert said("aaaa", "one") == ["wrote", *restarts]
    assert said("aaaa", "one") == []
    assert said("aaaa", "two") == ["wrote", "reread"]
    assert said("aaaa", "two") == []
    live.write_text("changed by hand\n")
    assert said("aaaa", "two") == ["wrote", "reread"]
    assert said("bbbb", "three") == ["wrote", *restarts]
    assert (tmp_path / "reads").read_text() == "read\nread\n"


def test_what_a_command_says_is_shown_only_if_it_fails() -> None:
    """The output of a resource is a result, not a log."""
    assert run("run_as root echo chatter\necho result").stdout == "result\n"
    failed = run("run_as root sh -c 'echo reason; exit 3'")
    assert failed.returncode == 1
    assert "while waiting for sh -c echo reason; exit 3" in failed.stderr
    assert "\nreason\n" in failed.stderr


def test_a_baked_schema_counts_only_for_the_package_it_was_baked_from(tmp_path: Path) -> None:
    """An upgraded package migrates; the same one does not have to."""
    installed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "bash"], capture_output=True, text=True, check=True
    ).stdout
    same, other = tmp_path / "same.version", tmp_path / "other.version"
    same.write_text(f"head=a b\npackage=bash={installed}\n")
    other.write_text("head=a b\npackage=bash=0.1\n")
    assert run(f"baked_head {same}").stdout == "a b\n"
    assert run(f"if baked_head {other}; then echo baked; fi").stdout == ""
    assert run(f"if baked_head {tmp_path / 'none'}; then echo baked; fi").stdout == ""


@pytest.mark.parametrize(
    ("baked", "there", "said"),
    [("a b", "a b", ""), ("a b", "a", "tool\nmigrated glance\n"), ("", "", "tool\nmigrated glance\n")],
    ids=["the template's own", "an older one", "another template"],
)
def test_a_database_is_migrated_unless_it_is_the_templates_own(baked: str, there: str, said: str) -> None:
    """That takes a minute under emulation, and the template's own has nothing left to do."""
    script = f"""
        baked_head() {{ [ -n "{baked}" ] && echo "{baked}"; }}
        query_as() {{ case $5 in *alembic_version*) echo "{there}" ;; esac; }}
        run_as() {{ "${{@:2}}"; }}
        migrate glance glance password vip echo tool"""
    done = run(script)
    assert (done.stdout, done.stderr) == (said, "")
