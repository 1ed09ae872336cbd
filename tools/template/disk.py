"""Write a directory as a BIOS-bootable disk image: MBR, GRUB, one ext4 partition. Needs no loop device and no mount."""

import subprocess
from pathlib import Path

from tools import steps

MIB = 1024 * 1024
SECTOR = 512
BLOCK = 4096
FIRST_SECTOR = 2048
"""The partition begins at 1 MiB, as every partitioning tool of today has it; GRUB's core lies in the gap before."""

BOOT_CODE = 440
"""Bytes of the MBR that hold code; the disk's signature and the partition table follow."""

UUID = "6f70656e-7374-6163-6b2d-6c6162000000"
"""Of the root file system, by which grub.cfg and fstab find it."""

GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux")
UNREADABLE = "^metadata_csum_seed,^orphan_file"
"""Features of ext4 that GRUB 2.06 refuses."""


def size(used: int) -> int:
    """Bytes of a disk for `used` bytes of files: a tenth and 64 MiB more for the file system's own tables, whole MiB."""
    return FIRST_SECTOR * SECTOR + -(-(used * 11 // 10 + 64 * MIB) // MIB) * MIB


def blocks(disk: int) -> int:
    """File-system blocks of the partition on a disk of that many bytes."""
    return (disk - FIRST_SECTOR * SECTOR) // BLOCK


def install_boot_code(disk: Path, boot: bytes, core: bytes) -> None:
    """Put GRUB's first stage into the MBR, keeping the partition table, and its core into the gap behind.

    Raises:
        ValueError: the core does not fit before the partition.
    """
    if len(core) > (FIRST_SECTOR - 1) * SECTOR:
        raise ValueError(f"GRUB's core of {len(core)} bytes does not fit before the partition at sector {FIRST_SECTOR}")
    with disk.open("r+b") as file:
        file.write(boot[:BOOT_CODE])
        file.seek(SECTOR)
        file.write(core)


def write(root: Path, disk: Path, *, work: Path, compress: bool = False) -> None:
    """Write the directory `root`, which has to hold grub-pc-bin and a kernel, as the qcow2 image `disk`.

    Args:
        work: directory for a raw image on the way.
        compress: make the file a third as large; it takes longer to write, and to read at every boot.
    """
    used = int(subprocess.check_output(["du", "--summarize", "--block-size=1", root], text=True).split()[0])
    raw = work / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(size(used))
    table = f"label: dos\nstart={FIRST_SECTOR}, type=83, bootable\n"
    subprocess.run(["sfdisk", "--quiet", raw], input=table, text=True, check=True, stdout=subprocess.DEVNULL)
    offset = f"offset={FIRST_SECTOR * SECTOR},lazy_itable_init=1,lazy_journal_init=1,assume_storage_prezeroed=1"
    steps.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-m", "1", "-L", "root", "-U", UUID]
        + ["-O", UNREADABLE, "-E", offset, "-d", root, raw, str(blocks(size(used)))],
        log="template-mke2fs",
        timeout=300,
    )
    core = "core.img"
    steps.run(
        ["chroot", root, "grub-mkimage", "-O", "i386-pc", "-o", f"/{core}", "-p", "(hd0,msdos1)/boot/grub"]
        + list(GRUB_MODULES),
        log="template-grub",
        timeout=60,
    )
    boot = root / "usr/lib/grub/i386-pc/boot.img"
    install_boot_code(raw, boot.read_bytes(), (root / core).read_bytes())
    options = ["-c", "-o", "compression_type=zstd"] if compress else []
    steps.run(
        ["qemu-img", "convert", "-W", "-m", "4", *options, "-O", "qcow2", raw, disk],
        log="template-convert",
        timeout=600,
    )
    raw.unlink()
