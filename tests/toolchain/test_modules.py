"""The Go modules are formatted, vetted and pass their own tests, each of which counts as one here."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools import paths, toolchain

_SOURCES = paths.CHECKOUT / "tools" / "toolchain"
_MODULES = sorted(file.parent for file in _SOURCES.glob("*/go.mod") if any(file.parent.rglob("*.go")))
_TESTS = [
    (file.parent.relative_to(_SOURCES).as_posix(), name)
    for module in _MODULES
    for file in sorted(module.rglob("*_test.go"))
    for name in re.findall(r"^func (Test\w+)\(t ", file.read_text(), re.MULTILINE)
]


def _go(verb: str, module: Path, *words: str) -> str:
    """Output of a Go command for all of a module, whether or not it succeeds.

    With the flags of a build: what was compiled for one serves the other.
    """
    with toolchain.module_flags(module.name) as flags:
        return _run([str(toolchain.go()), verb, *flags, *words, "./..."], module)


def _run(command: list[str], directory: Path) -> str:
    return subprocess.run(
        command,
        cwd=directory,
        env=toolchain.go_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    ).stdout


def test_go_files_are_formatted() -> None:
    assert _run([str(toolchain.go().with_name("gofmt")), "-l", "."], _SOURCES) == ""


@pytest.mark.parametrize("module", _MODULES, ids=lambda module: module.name)
def test_go_vet_finds_nothing(module: Path) -> None:
    said = _go("vet", module).splitlines()
    # Where no module has been fetched yet.
    assert [line for line in said if not line.startswith("go: downloading ")] == []


@pytest.fixture(scope="module")
def results() -> Mapping[tuple[str, str], tuple[str, str]]:
    """How each Go test ended and what it printed, by package and name."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for module in sorted({_SOURCES / package.split("/")[0] for package, _ in _TESTS}):
        printed: dict[tuple[str, str], str] = {}
        for line in _go("test", module, "-json", "-timeout=300s").splitlines():
            event = json.loads(line) if line.startswith("{") else {"Output": line}
            key = (event.get("Package", "").removeprefix("openstack-lab/toolchain/"), event.get("Test", ""))
            printed[key] = printed.get(key, "") + event.get("Output", "")
            if event.get("Action") in ("pass", "fail", "skip"):
                found[key] = (event["Action"], printed[key])
    return found


@pytest.mark.parametrize(("package", "name"), _TESTS)
def test_go(package: str, name: str, results: Mapping[tuple[str, str], tuple[str, str]]) -> None:
    outcome, printed = results.get((package, name), ("not run", results.get((package, ""), ("", ""))[1]))
    assert outcome == "pass", printed
