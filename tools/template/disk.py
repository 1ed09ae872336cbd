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

SIGNATURE = b"\x55\xaa"
"""Ends an MBR that the firmware boots."""

UUID = "6f70656e-7374-6163-6b2d-6c6162000000"
"""Of the root file system, by which grub.cfg and fstab find it."""

GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux16")
UNREADABLE = "^metadata_csum_seed,^orphan_file"
"""Features of ext4 that GRUB 2.06 refuses."""


def size(used: int) -> int:
    """Bytes of a disk for `used` bytes of files: whole MiB, a tenth and 64 MiB more for the file system's tables."""
    return FIRST_SECTOR * SECTOR + -(-(used * 11 // 10 + 64 * MIB) // MIB) * MIB


def blocks(disk: int) -> int:
    """File-system blocks of the partition on a disk of that many bytes."""
    return (disk - FIRST_SECTOR * SECTOR) // BLOCK


def install_boot_code(disk: Path, boot: bytes, core: bytes) -> None:
    """Put GRUB's first stage into the MBR, beside the partition table if any, and its core into the gap behind.

    Raises:
        ValueError: the core does not fit before the partition.
    """
    if len(core) > (FIRST_SECTOR - 1) * SECTOR:
        raise ValueError(f"GRUB's core of {len(core)} bytes does not fit before the partition at sector {FIRST_SECTOR}")
    with disk.open("r+b") as file:
        file.write(boot[:BOOT_CODE])
        file.seek(SECTOR - len(SIGNATURE))
        file.write(SIGNATURE)
        file.write(core)


def write(root: Path, disk: Path, *, work: Path) -> None:
    """Write a directory as a qcow2 image.

    Args:
        root: the files; grub-pc-bin and a kernel have to be among them.
        disk: image to write.
        work: directory for a raw image on the way.
    """
    used = int(subprocess.check_output(["du", "--summarize", "--block-size=1", root], text=True).split()[0])
    raw = work / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(size(used))
    table = f"label: dos\nstart={FIRST_SECTOR}, type=83, bootable\n"
    subprocess.run(["sfdisk", "--quiet", raw], input=table, text=True, check=True, stdout=subprocess.DEVNULL)
    steps.run(
        [
            *("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-m", "1", "-L", "root", "-U", UUID),
            *("-O", UNREADABLE, "-d", root),
            *(
                "-E",
                f"offset={FIRST_SECTOR * SECTOR},lazy_itable_init=1,lazy_journal_init=1,assume_storage_prezeroed=1",
            ),
            *(raw, str(blocks(size(used)))),
        ],
        log="template-mke2fs",
        timeout=300,
    )
    core = root / "core.img"
    steps.run(
        [
            *("chroot", root, "grub-mkimage", "-O", "i386-pc", "-o", f"/{core.name}"),
            *("-p", "(hd0,msdos1)/boot/grub", *GRUB_MODULES),
        ],
        log="template-grub",
        timeout=60,
    )
    install_boot_code(raw, (root / "usr/lib/grub/i386-pc/boot.img").read_bytes(), core.read_bytes())
    steps.run(["qemu-img", "convert", "-W", "-m", "4", "-O", "qcow2", raw, disk], log="template-convert", timeout=600)
    raw.unlink()
