"""Build a tiny disk image that boots by itself: Debian's kernel, busybox and dropbear, all in an initramfs."""

import gzip
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools import steps
from tools.hypervisor import kvm
from tools.steps import StepError
from tools.template import disk

NAME = "busybox"

HERE = Path(__file__).resolve().parent
OVERLAY = HERE / "overlay"
"""The guest's own files, copied over what the packages give."""

GUEST_PACKAGES = (
    *("busybox-static", "dropbear-bin"),
    *("libc6", "libcrypt1", "libtomcrypt1", "libtommath1", "libgmp10", "zlib1g"),
)
TOOL_PACKAGES = (
    *("grub-common", "grub-pc-bin"),
    *("libdevmapper1.02.1", "liblzma5", "libselinux1", "libudev1", "libpcre2-8-0"),
)
"""For grub-mkimage, which runs from where it is unpacked."""

BUSYBOX = "bin/busybox"
"""Linked statically: where one emulator runs in another, a program without libraries starts several times as fast."""

PROGRAMS = ("usr/sbin/dropbear", "usr/bin/dropbearkey")
DIRECTORIES = (
    *("bin", "dev", "lib/modules", "lib64", "proc", "run", "sys", "tmp", "var/log", "var/run"),
    *("etc/dropbear", "root/.ssh", "home/cirros/.ssh"),
)
MODES = {
    ".": 0o755,
    "tmp": 0o1777,
    "root/.ssh": 0o700,
    "home/cirros/.ssh": 0o700,
    "etc/shadow": 0o600,
    # For ping; busybox itself gives root's rights up for what does not need them.
    "bin/busybox": 0o4755,
}
COMMAND_LINE = " ".join(
    (
        "console=tty0 console=ttyS0,115200 panic=10 quiet",
        # What a guest for an hour has no use for, and an emulator in an emulator much work with: docs/measurements.md.
        "mitigations=off nokaslr norandmaps rodata=off lsm= audit=0 psi=0 cryptomgr.notests",
        "initcall_blacklist=tracer_init_tracefs",
        # Its clock is a host's: not to be measured against other timers.
        "tsc=reliable no_timer_check",
    )
)
LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
LOADER = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"


def make(image: Path, *, work: Path, remedy: str) -> None:
    """Write the qcow2 file `image`, with the directory `work` for what lies on the way."""
    debian, kernel_tree, guest, root = (work / name for name in ("debian", "kernel", "guest", "root"))
    kernel = _download(debian, kernel_tree, remedy)
    _guest(guest, debian, kernel_tree)
    root.mkdir()
    shutil.copyfile(kernel, root / "vmlinuz")
    (root / "initrd").write_bytes(gzip.compress(_archive(guest, debian), 9, mtime=0))
    _disk(root, image, debian, work)


def _download(debian: Path, kernel_tree: Path, remedy: str) -> Path:
    """Download Debian packages and unpack them; nothing is installed. Return the kernel."""
    try:
        _unpack([*GUEST_PACKAGES, *TOOL_PACKAGES], debian, remedy)
        return kvm.unpack_kernel(kernel_tree, remedy)
    except StepError:
        # APT's indexes may be missing, as in container images, or older than what the mirror holds.
        subprocess.run(["apt-get", "update", "-qq"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        _unpack([*GUEST_PACKAGES, *TOOL_PACKAGES], debian, remedy)
        return kvm.unpack_kernel(kernel_tree, remedy)


def _unpack(packages: Sequence[str], tree: Path, remedy: str) -> None:
    with tempfile.TemporaryDirectory(dir=tree.parent) as name:
        steps.run(["apt-get", "download", *packages], log="image-packages", timeout=300, cwd=Path(name), remedy=remedy)
        for package in sorted(Path(name).glob("*.deb")):
            steps.run(["dpkg-deb", "--extract", package, tree], log="image-unpack", timeout=60, remedy=remedy)


def _guest(guest: Path, debian: Path, kernel_tree: Path) -> None:
    """Lay out the guest's root directory."""
    shutil.copytree(OVERLAY, guest)
    for name in DIRECTORIES:
        (guest / name).mkdir(parents=True)
    programs = [debian / name for name in PROGRAMS]
    for file in {file for program in programs for file in _libraries(program, debian)}:
        shutil.copyfile(file, guest / "lib" / file.name)
    shutil.copyfile((debian / LOADER).resolve(), guest / "lib64" / Path(LOADER).name)
    busybox = debian / BUSYBOX
    for program in [busybox, *programs]:
        shutil.copyfile(program, guest / "bin" / program.name)
    for applet in subprocess.check_output([busybox, "--list"], text=True).split():
        if not (guest / "bin" / applet).exists():
            (guest / "bin" / applet).symlink_to("busybox")
    (guest / "init").symlink_to("bin/init")
    for name in [*(OVERLAY / "etc/modules").read_text().split(), "evdev", "button"]:
        [module] = kernel_tree.rglob(f"{name}.ko")
        shutil.copyfile(module, guest / "lib/modules" / module.name)
    # A checkout's own modes depend on its owner's umask.
    scripts = {guest / file.relative_to(OVERLAY) for file in OVERLAY.rglob("*") if file.stat().st_mode & 0o100}
    for file in guest.rglob("*"):
        if not file.is_symlink():
            file.chmod(0o755 if file.is_dir() or file in scripts or file.parent.name in ("bin", "lib64") else 0o644)
    for name, mode in MODES.items():
        (guest / name).chmod(mode)


def _libraries(program: Path, debian: Path) -> list[Path]:
    """The shared libraries that a program loads."""
    listed = subprocess.check_output(_run(debian, "--list", program), text=True)
    missing = re.findall(r"(\S+) => not found", listed)
    if missing:
        raise StepError(f"{program.name} needs {', '.join(missing)}, which none of the packages holds")
    return [Path(file) for file in re.findall(r"=> (\S+)", listed)]


def _run(debian: Path, *words: str | Path) -> list[str | Path]:
    """The command line that runs a program of the unpacked tree with the libraries of that tree."""
    libraries = ":".join(str(debian / name) for name in LIBRARIES)
    return [debian / LOADER, "--library-path", libraries, *words]


def _archive(guest: Path, debian: Path) -> bytes:
    """The directory as a cpio archive, everything in it root's."""
    names = sorted(str(file.relative_to(guest)) for file in guest.rglob("*"))
    return subprocess.run(
        [debian / BUSYBOX, "cpio", "-o", "-H", "newc", "-R", "0:0"],
        cwd=guest,
        input="\n".join([".", *names]).encode(),
        capture_output=True,
        check=True,
    ).stdout


def _disk(root: Path, image: Path, debian: Path, work: Path) -> None:
    """Write the directory as a disk with GRUB in front."""
    grub = debian / "usr/lib/grub/i386-pc"
    core, config, raw = work / "core.img", work / "grub.cfg", work / "disk.raw"
    config.write_text(f"linux16 (hd0,msdos1)/vmlinuz {COMMAND_LINE}\ninitrd16 (hd0,msdos1)/initrd\nboot\n")
    steps.run(
        _run(
            debian,
            *(debian / "usr/bin/grub-mkimage", "-d", grub, "-O", "i386-pc", "-o", core, "-c", config),
            *("-p", "(hd0,msdos1)/", "biosdisk", "part_msdos", "ext2", "linux16", "boot"),
        ),
        log="image-grub",
        timeout=60,
    )
    used = sum(file.stat().st_size for file in root.iterdir())
    size = disk.FIRST_SECTOR * disk.SECTOR + (used * 11 // 10 // disk.MIB + 3) * disk.MIB
    with raw.open("wb") as file:
        file.truncate(size)
    table = f"label: dos\nstart={disk.FIRST_SECTOR}, type=83, bootable\n"
    subprocess.run(["sfdisk", "--quiet", raw], input=table, text=True, check=True, stdout=subprocess.DEVNULL)
    steps.run(
        [
            *("mke2fs", "-q", "-F", "-t", "ext2", "-b", str(disk.BLOCK), "-m", "0", "-N", "64"),
            *("-E", f"offset={disk.FIRST_SECTOR * disk.SECTOR}", "-d", root, raw, str(disk.blocks(size))),
        ],
        log="image-mke2fs",
        timeout=60,
    )
    disk.install_boot_code(raw, (grub / "boot.img").read_bytes(), core.read_bytes())
    steps.run(["qemu-img", "convert", "-c", "-O", "qcow2", raw, image], log="image-convert", timeout=120)
