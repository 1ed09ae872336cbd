"""The disk image: a partition table, GRUB before the partition, and a file system that fills it."""

import subprocess
from pathlib import Path

import pytest

from tools.template import disk


def test_a_disk_has_whole_mebibytes_and_room_for_the_tables_of_its_file_system() -> None:
    for used in (0, 1, disk.MIB, 1_900_000_000):
        size = disk.size(used)
        assert size % disk.MIB == 0
        assert size >= used * 1.1 + 65 * disk.MIB


def test_the_file_system_ends_where_the_disk_ends() -> None:
    size = disk.size(500 * disk.MIB)
    assert disk.FIRST_SECTOR * disk.SECTOR + disk.blocks(size) * disk.BLOCK == size


def test_boot_code_leaves_the_partition_table_and_the_partition_alone(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(bytes(4 * disk.MIB))
    table = f"label: dos\nstart={disk.FIRST_SECTOR}, type=83, bootable\n"
    subprocess.run(["sfdisk", "--quiet", image], input=table, text=True, check=True)
    before = image.read_bytes()

    disk.install_boot_code(image, b"B" * 512, b"C" * 1000)

    after = image.read_bytes()
    assert after[:440] == b"B" * 440
    assert after[440:512] == before[440:512]
    assert after[510:512] == b"\x55\xaa"
    assert after[512:1512] == b"C" * 1000
    assert after[1512:] == before[1512:]


def test_a_core_that_would_reach_into_the_partition_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(bytes(4 * disk.MIB))
    with pytest.raises(ValueError, match="does not fit before the partition at sector 2048"):
        disk.install_boot_code(image, b"", bytes(2047 * 512 + 1))
