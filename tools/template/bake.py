"""Bake a template: install the packages into a directory, make it a template, write it as a disk image."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tools import mounts, steps
from tools.steps import StepError
from tools.template import disk, sources
from tools.template.recipe import HERE, Recipe

FREE = 8 * 1024**3
"""Bytes of disk that baking takes on the way: the files, a raw and a qcow2 image of them."""

_WORK = ".bake-"
_SECONDS = 1800
"""Limit of a step, ten times what the longest takes on two cores: for busy machines and slow mirrors."""

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def make(recipe: Recipe, image: Path, apt_sources: Path | None) -> None:
    """Make the template `image`, and beside it what is known about it (.json) and its options (.options.json).

    Args:
        recipe: what to make.
        image: file to write, by a rename at the very end.
        apt_sources: file to install from, in place of this machine's mirrors.

    Raises:
        StepError: a step failed; nothing is left behind. What a killed one left is removed by the next.
    """
    if os.geteuid() != 0:
        raise StepError(
            f"the template {recipe.release} is not baked yet, and only root can do that",
            "run set-up as root once, or set openstack-lab:template to an image that was baked elsewhere",
        )
    image.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in image.parent.glob(f"{_WORK}*"):
        shutil.rmtree(abandoned)
    free = shutil.disk_usage(image.parent).free
    if free < FREE:
        raise StepError(
            f"{image.parent}: {free / 1024**3:.1f} GiB free, {FREE / 1024**3:.0f} GiB needed to bake a template",
            "set OPENSTACK_LAB_CACHE to a directory on a larger disk",
        )
    begun = time.monotonic()
    seconds: dict[str, float] = {}
    # mkdtemp lets nobody else in: the settings for APT may hold a proxy's password.
    work = Path(tempfile.mkdtemp(prefix=_WORK, dir=image.parent))
    try:
        root = work / "root"
        made = work / image.name
        recipe = recipe.laid_out(work / "recipe")
        with steps.step(
            "template packages", f"{len(recipe.packages)} packages of {recipe.suites[0]} and what they need"
        ):
            _install(recipe, root, work, apt_sources)
            seconds["packages"] = time.monotonic() - begun
        with steps.step("template system", "overlay, units, byte code"):
            shutil.copytree(recipe.directory / "overlay", root, symlinks=True, dirs_exist_ok=True)
            _inside(recipe, root, "sh", "/run/recipe/customise.sh", log="template-customise", timeout=_SECONDS)
            seconds["system"] = time.monotonic() - begun - sum(seconds.values())
        with steps.step("template schema", "every service's database schema, and its options"):
            _inside(recipe, root, "sh", "/run/recipe/schema.sh", log="template-schema", timeout=_SECONDS)
            options = _options(recipe, root)
            _inside(recipe, root, "python3", "/run/template/verify.py", log="template-verify", timeout=_SECONDS)
            seconds["schema"] = time.monotonic() - begun - sum(seconds.values())
        with steps.step("template disk", "a disk that boots by itself"):
            disk.write(root, made, work=work)
            seconds["disk"] = time.monotonic() - begun - sum(seconds.values())
        facts = {
            "release": recipe.release,
            "key": recipe.key,
            "bytes": made.stat().st_size,
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            "packages": _versions(recipe, root),
        }
        image.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
        image.with_suffix(".options.json").write_text(options)
        made.rename(image)
    finally:
        shutil.rmtree(work)


def _install(recipe: Recipe, root: Path, work: Path, apt_sources: Path | None) -> None:
    """Install the packages into `root`, from the mirrors given, and leave them configured there, too."""
    settings = sources.settings()
    (work / "apt.conf").write_text("".join(f"{line}\n" for line in settings))
    if apt_sources:
        mirrors = work / f"template{apt_sources.suffix}"
        shutil.copyfile(apt_sources, mirrors)
        in_guests = without_users(mirrors.read_text())
    else:
        found = sources.of_machine(recipe.suites, recipe.origin)
        mirrors = work / "template.sources"
        mirrors.write_text(sources.deb822(found))
        in_guests = sources.deb822(sources.without_secrets(found))
    proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    steps.run(
        [
            *cut_off(),
            *("mmdebstrap", "--mode=root", "--variant=apt", "--format=directory"),
            # Their files stay, for customise.sh.
            "--skip=essential/unlink,cleanup/apt/cache",
            *(f"--aptopt={recipe.directory / 'apt.conf'}", f"--aptopt={work / 'apt.conf'}"),
            *(f"--dpkgopt={recipe.directory / 'dpkg.cfg'}", f"--essential-hook={recipe.directory / 'prepare.sh'}"),
            *(f"--include={','.join(recipe.packages)}", recipe.suites[0], root, mirrors),
        ],
        log="template-packages",
        timeout=_SECONDS,
        env={**_ENVIRONMENT, **proxies},
        remedy=f"set {sources.OVERRIDE} to a file with a mirror that answers",
    )
    for file in [root / "etc/apt/sources.list", *(root / "etc/apt/sources.list.d").iterdir()]:
        file.unlink(missing_ok=True)
    (root / "etc/apt/sources.list.d" / f"debian{mirrors.suffix}").write_text(in_guests)
    (root / "etc/apt/apt.conf.d/90mirror").write_text("".join(f"{line}\n" for line in sources.for_guests(settings)))


def without_users(text: str) -> str:
    """The text of APT's sources with users and passwords taken out of its addresses, fit for anybody to read."""
    return re.sub(r"://[^/\s]*@", "://", text)


def _inside(recipe: Recipe, root: Path, *command: str, log: str, timeout: float) -> None:
    """Run a command inside the new system, cut off from this machine's network and processes."""
    steps.run(_enter(recipe, root, *command), log=log, timeout=timeout, env=_ENVIRONMENT)


def _enter(recipe: Recipe, root: Path, *command: str) -> list[str | Path]:
    return [*cut_off(), "--net", HERE / "chroot.sh", root, recipe.directory, *command]


def cut_off() -> list[str]:
    """The words that run a command in mount and process namespaces of its own, which end with this process, too."""
    return ["setpriv", "--pdeathsig", "KILL", *mounts.unshare(), "--pid", "--fork", "--kill-child"]


def _options(recipe: Recipe, root: Path) -> str:
    """Definitions of all options as JSON, made by the services' own code inside the new system."""
    result = subprocess.run(
        _enter(recipe, root, "python3", "/run/template/options.py"),
        input=json.dumps(recipe.options),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=_ENVIRONMENT,
    )
    if result.returncode:
        raise StepError(f"options of {recipe.release}: exit status {result.returncode}\n{result.stderr[-4000:]}")
    return result.stdout


def _versions(recipe: Recipe, root: Path) -> dict[str, str]:
    """Installed version of each key package."""
    query = ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", "--show", "--showformat", "${Package} ${Version}\n"]
    lines = subprocess.check_output([*query, *recipe.key_packages], text=True).splitlines()
    return dict(line.split(" ", 1) for line in lines)
