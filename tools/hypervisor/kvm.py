"""Whether KVM can be used: a kernel has to boot with it, since /dev/kvm can be there and yet hang every guest."""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tools import paths, steps
from tools.steps import StepError

DEVICE = Path("/dev/kvm")
BOOT_SECONDS = 20
"""A kernel without an initrd comes to its end in 1 to 3 s, with KVM or without."""

_PACKAGE = "linux-image-cloud-amd64"
_BOOTED = "Unable to mount root fs"
"""The kernel's last words when it is given no disk: all of its own start-up lies behind it."""


@dataclass(frozen=True)
class Verdict:
    """Whether KVM works on this machine, and why not."""

    works: bool
    why: str

    @property
    def domain_type(self) -> str:
        """Libvirt's name for it: "kvm", or "qemu" for emulation (TCG)."""
        return "kvm" if self.works else "qemu"


def probe() -> Verdict:
    """Boot a kernel with KVM, once for each start of the machine and each kernel."""
    if not DEVICE.exists():
        return Verdict(works=False, why=f"there is no {DEVICE}")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Verdict(works=False, why=f"this user may not open {DEVICE}; the group that may is {DEVICE.group()}")
    kernel = _kernel()
    key = f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {kernel}"
    file = paths.cache() / "kvm.json"
    try:
        cached = json.loads(file.read_text())
        if cached.pop("key") == key:
            return Verdict(**cached)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    verdict = boot(kernel, "kvm")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as part:
        json.dump({"key": key, **asdict(verdict)}, part)
    os.replace(part.name, file)
    return verdict


def boot(kernel: Path, accelerator: str, seconds: float = BOOT_SECONDS) -> Verdict:
    """Boot a kernel in QEMU with an accelerator, such as "kvm", and see whether it gets to where it wants its disk."""
    command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc"]
    command += ["-accel", accelerator, "-cpu", "max", "-m", "256", "-serial", "stdio", "-no-reboot"]
    command += ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return Verdict(works=False, why=f"a Linux kernel did not boot with it within {seconds:.0f} s")
    if _BOOTED in done.stdout:
        return Verdict(works=True, why="")
    complaint = done.stderr.strip().splitlines()
    return Verdict(works=False, why=f"QEMU ended with status {done.returncode}: {complaint[0] if complaint else ''}")


def _kernel() -> Path:
    """The machine's own newest kernel; in a container, which has none, Debian's cloud kernel."""
    own = [file for file in Path("/boot").glob("vmlinuz-*") if os.access(file, os.R_OK)]
    if own:
        return max(own, key=lambda file: file.stat().st_mtime)
    cached = sorted((paths.cache() / "kernel").glob("vmlinuz-*"))
    return cached[-1] if cached else _download_kernel(paths.cache() / "kernel")


def _download_kernel(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as work:
        kernel = unpack_kernel(Path(work), f"put any Linux kernel into {directory} as vmlinuz-VERSION")
        return kernel.rename(directory / kernel.name)


def unpack_kernel(root: Path, remedy: str) -> Path:
    """Download the package of Debian's cloud kernel and unpack it, modules included, into `root`; return the kernel.

    Raises:
        StepError: with that remedy; APT does not know the package, or cannot get it.
    """
    depends = subprocess.run(["apt-cache", "depends", _PACKAGE], capture_output=True, text=True, check=False).stdout
    match = re.search(r"Depends: (linux-image-\S+)", depends)
    if not match:
        raise StepError(f"{_PACKAGE}: apt does not know this package", remedy)
    root.mkdir(exist_ok=True)
    steps.run(["apt-get", "download", match[1]], log="kernel", timeout=600, cwd=root, remedy=remedy)
    package = next(root.glob("*.deb"))
    steps.run(["dpkg-deb", "--extract", package, root], log="kernel", timeout=120, remedy=remedy)
    return next((root / "boot").glob("vmlinuz-*"))
