"""Which image set-up gives Glance, asked of a real server on the loopback."""

import hashlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tools import image
from tools.image import build
from tools.steps import StepError

CIRROS = b"the bytes of CirrOS"
STAND_IN = b"the bytes of what was built"


class Server:
    """Serves `content`, after a while if it `hangs`, and counts the requests."""

    def __init__(self) -> None:
        self.content = CIRROS
        self.hangs = False
        self.closing = threading.Event()
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                if outer.hangs:
                    outer.closing.wait()
                self.wfile.write(outer.content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{image.FILE}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr(image, "URL", server.url)
    monkeypatch.setattr(image, "SHA512", hashlib.sha512(CIRROS).hexdigest())
    yield server
    server.close()


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the images in a cache of the test's own."""
    monkeypatch.setenv("OPENSTACK_LAB_CACHE", str(tmp_path))
    return tmp_path / "images"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images that were built, in no time."""
    made: list[Path] = []

    def make(file: Path, *, work: Path, remedy: str) -> None:
        assert work.is_dir()
        assert remedy
        file.write_bytes(STAND_IN)
        made.append(file)

    monkeypatch.setattr(build, "make", make)
    return made


def name(kind: str, content: bytes) -> str:
    return f"{kind}-{hashlib.sha256(content).hexdigest()[:12]}.qcow2"


def test_cirros_is_fetched_once_and_named_by_its_content(server: Server, images: Path, builds: list[Path]) -> None:
    for _ in range(2):
        found = image.ensure()
        assert found == images / name("cirros-0.5.1", CIRROS)
        assert found.read_bytes() == CIRROS
    assert (server.requests, builds) == (1, [])


def test_nothing_but_the_image_and_its_pointer_remains(server: Server, images: Path, builds: list[Path]) -> None:
    server.content = b"something else"
    image.ensure()
    left = {file.name for file in images.iterdir()}
    assert left == {name("busybox", STAND_IN), f"public-{image.key()}", "public.lock"}
    assert len(builds) == 1


def test_wrong_bytes_are_never_used_and_a_stand_in_is_built(
    server: Server, images: Path, builds: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    server.content = b"Please log in to this network."
    assert image.ensure() == images / name("busybox", STAND_IN)
    [line] = [line for line in capsys.readouterr().out.splitlines() if "stand-in" in line]
    assert server.url in line
    assert "30 bytes of SHA-512" in line
    assert len(builds) == 1


def test_an_attempt_that_failed_is_not_repeated(server: Server, images: Path, builds: list[Path]) -> None:
    server.content = b""
    assert {image.ensure() for _ in range(3)} == {images / name("busybox", STAND_IN)}
    assert (server.requests, len(builds)) == (1, 1)


def test_a_server_that_hangs_is_given_up(
    server: Server,
    images: Path,
    builds: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.hangs = True
    monkeypatch.setattr(image, "FETCH_SECONDS", 1)
    begun = time.monotonic()
    assert image.ensure() == images / name("busybox", STAND_IN)
    assert time.monotonic() - begun < 10
    assert "not there after 1 s" in capsys.readouterr().out
    assert len(builds) == 1


def test_a_server_that_refuses_is_named_with_its_reason(
    server: Server,
    images: Path,
    builds: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(image, "URL", server.url.replace("http://127.0.0.1", "http://127.0.0.2"))
    assert image.ensure().parent == images
    assert "Connection refused" in capsys.readouterr().out
    assert len(builds) == 1


def test_cirros_put_there_by_hand_takes_the_place_of_the_stand_in(
    server: Server, images: Path, builds: list[Path]
) -> None:
    server.content = b""
    image.ensure()
    (images / image.FILE).write_bytes(CIRROS)
    for _ in range(2):
        assert image.ensure() == images / name("cirros-0.5.1", CIRROS)
    assert not (images / image.FILE).exists()
    assert (server.requests, len(builds)) == (1, 1)


def test_another_file_put_there_by_hand_is_refused_by_name(server: Server, images: Path, builds: list[Path]) -> None:
    images.mkdir()
    (images / image.FILE).write_bytes(b"another")
    with pytest.raises(StepError, match=r"7 bytes of SHA-512 .*, not 16338944 bytes of") as caught:
        image.ensure()
    assert str(images / image.FILE) in str(caught.value)
    assert server.url in caught.value.remedy
    assert (server.requests, builds) == (0, [])


def test_an_image_that_was_deleted_is_got_again(server: Server, images: Path, builds: list[Path]) -> None:
    image.ensure().unlink()
    assert image.ensure() == images / name("cirros-0.5.1", CIRROS)
    assert image.ensure().exists()
    assert (server.requests, builds) == (2, [])


def test_what_a_killed_set_up_left_is_cleared_away(server: Server, images: Path, builds: list[Path]) -> None:
    (images / ".image-killed").mkdir(parents=True)
    image.ensure()
    assert not (images / ".image-killed").exists()
    assert (server.requests, builds) == (1, [])


def test_a_set_up_that_finds_its_image_takes_no_time(server: Server, images: Path, builds: list[Path]) -> None:
    image.ensure()
    begun = time.monotonic()
    assert image.ensure().parent == images
    assert time.monotonic() - begun < 0.05
    assert (server.requests, builds) == (1, [])


def test_a_changed_recipe_gives_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.key()
    copy = shutil.copytree(build.HERE, tmp_path / "image")
    monkeypatch.setattr(build, "HERE", copy)
    assert image.key() == before
    with (copy / "overlay/etc/issue").open("a") as file:
        file.write("\n")
    assert image.key() != before


def test_another_cirros_gives_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.key()
    monkeypatch.setattr(image, "SHA512", "0" * 128)
    assert image.key() != before


@pytest.mark.parametrize(
    "script",
    [file for file in build.OVERLAY.rglob("*") if file.stat().st_mode & 0o100 and file.is_file()],
    ids=lambda file: file.name,
)
def test_the_scripts_of_the_guest_are_valid_shell(script: Path) -> None:
    done = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert script.read_text().startswith("#!/bin/sh\n")
