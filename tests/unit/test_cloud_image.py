"""A cloud image of the user's own is taken only if it is what its checksum says."""

import functools
import hashlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import cloud_image
from tools.steps import StepError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSTACK_LAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A real, empty qcow2 image."""
    file = tmp_path / "www" / "cloud.qcow2"
    file.parent.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", file, "1M"], check=True)
    return file


@pytest.fixture
def address(image: Path) -> Iterator[str]:
    """The same image on a web server."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=image.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{image.name}"
        server.shutdown()


def checksum(file: Path) -> str:
    """Its SHA-256 in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_path_and_an_address_give_the_same_cached_file(image: Path, address: str) -> None:
    """The second one is not read again: the checksum is the name."""
    first = cloud_image.obtain("template", str(image), checksum(image))
    assert first.read_bytes() == image.read_bytes()
    assert cloud_image.obtain("template", address, checksum(image)) == first


def test_an_image_is_fetched_from_an_address(image: Path, address: str) -> None:
    """From nothing."""
    assert cloud_image.obtain("template", address, checksum(image)).read_bytes() == image.read_bytes()


def test_a_wrong_checksum_names_both_and_leaves_nothing(image: Path, tmp_path: Path) -> None:
    """Neither a part nor a wrong file stays in the cache."""
    with pytest.raises(StepError, match=f"has the checksum {checksum(image)}, not {'0' * 64}"):
        cloud_image.obtain("template", str(image), "0" * 64)
    assert list((tmp_path / "cache" / "images").iterdir()) == []


def test_a_missing_file_is_named() -> None:
    """With what would be allowed."""
    with pytest.raises(StepError, match=r"openstack-lab:template: '/nowhere/image.qcow2' cannot be read"):
        cloud_image.obtain("template", "/nowhere/image.qcow2", "0" * 64)


def test_the_public_images_key_is_named_where_that_is_meant() -> None:
    """Both keys take an image the same way."""
    with pytest.raises(StepError, match="openstack-lab:imageSha256: 'x' is not allowed"):
        cloud_image.obtain("image", "/nowhere/image.qcow2", "x")


def test_a_checksum_is_asked_for() -> None:
    """An image without one is not trusted."""
    with pytest.raises(StepError, match="openstack-lab:templateSha256: '' is not allowed; allowed: 64 hexadecimal"):
        cloud_image.obtain("template", "/nowhere/image.qcow2", "")


def test_something_else_than_an_image_is_refused(tmp_path: Path) -> None:
    """An error page has a checksum, too."""
    page = tmp_path / "page.html"
    page.write_text("<html>not found</html>")
    with pytest.raises(StepError, match="is not a qcow2 image"):
        cloud_image.obtain("template", str(page), checksum(page))
