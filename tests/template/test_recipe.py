"""The recipe is data: lists with reasons, files as they lie in the machine. Whatever changes it changes its key."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.steps import StepError
from tools.template import disk, recipe

ZED = recipe.HERE / "zed-debian12"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, with the recipe in it, that may be changed."""
    directory = tmp_path / "template"
    shutil.copytree(recipe.HERE, directory, symlinks=True)
    monkeypatch.setattr(recipe, "HERE", directory)
    return directory


def test_names_are_read_without_reasons_blank_lines_and_headings(tmp_path: Path) -> None:
    file = tmp_path / "packages.txt"
    file.write_text("# Heading\n\nchrony  # time\n  curl# asking\n")
    assert recipe.names(file) == ["chrony", "curl"]


@pytest.mark.parametrize("line", ["chrony", "chrony  #", "chrony curl  # two"])
def test_a_name_needs_its_own_line_and_a_reason(tmp_path: Path, line: str) -> None:
    file = tmp_path / "packages.txt"
    file.write_text(f"# Heading\n{line}\n")
    with pytest.raises(StepError, match=rf"packages\.txt:2: '{line}' is not allowed; allowed: NAME  # REASON"):
        recipe.names(file)


def test_a_package_named_twice_is_an_error(copy: Path) -> None:
    with (copy / "zed-debian12/packages.txt").open("a") as file:
        file.write("chrony  # again\n")
    with pytest.raises(StepError, match=r"packages\.txt: named twice: chrony"):
        recipe.load("zed-debian12")


def test_a_release_without_recipe_is_told_what_there_is() -> None:
    with pytest.raises(
        StepError,
        match="'train-centos7': no template can be baked; there are recipes for: epoxy-debian13, zed-debian12",
    ):
        recipe.load("train-centos7")


def test_a_recipe_like_another_has_its_packages_but_for_those_that_it_takes_away() -> None:
    zed, epoxy = (set(recipe.load(release).packages) for release in ("zed-debian12", "epoxy-debian13"))
    assert {"neutron-linuxbridge-agent", "python3-distutils"} <= zed - epoxy
    assert epoxy - zed == {"neutron-openvswitch-agent", "openvswitch-switch", "conntrack", "python3-setuptools"}


def test_a_recipe_like_another_reads_its_options_but_for_those_that_it_empties() -> None:
    zed, epoxy = (recipe.load(release).options for release in ("zed-debian12", "epoxy-debian13"))
    assert zed.keys() - epoxy.keys() == {"linuxbridge_agent.ini"}
    assert epoxy.keys() - zed.keys() == {"openvswitch_agent.ini"}
    assert epoxy["nova.conf"] == zed["nova.conf"]


def test_a_name_that_is_not_there_cannot_be_taken_away(copy: Path) -> None:
    with (copy / "epoxy-debian13/packages.txt").open("a") as file:
        file.write("-ntpd  # in favour of chrony\n")
    with pytest.raises(StepError, match=r"epoxy-debian13/packages\.txt: not there: ntpd"):
        recipe.load("epoxy-debian13")


def test_laid_out_a_recipe_has_the_files_of_both_and_its_own_where_both_have_one(copy: Path, tmp_path: Path) -> None:
    own = copy / "epoxy-debian13/overlay/etc/hostname"
    own.parent.mkdir(exist_ok=True)
    own.write_text("its own\n")
    laid = recipe.load("epoxy-debian13").laid_out(tmp_path / "recipe").directory
    assert (laid / "overlay/etc/hostname").read_text() == "its own\n"
    for path in (path.relative_to(ZED) for path in ZED.rglob("*") if path.is_file()):
        if not (copy / "epoxy-debian13" / path).is_file() and path.suffix != ".txt":
            assert (laid / path).read_bytes() == (ZED / path).read_bytes()
            assert (laid / path).stat().st_mode == (ZED / path).stat().st_mode
    assert "cloud-config.service\n" in (laid / "masked-units.txt").read_text()
    assert "tmp.mount\n" in (laid / "masked-units.txt").read_text()


def test_the_key_changes_with_the_files_of_the_other_release(copy: Path) -> None:
    key = recipe.load("epoxy-debian13").key
    with (copy / "zed-debian12/customise.sh").open("a") as file:
        file.write("# changed\n")
    assert recipe.load("epoxy-debian13").key != key


def test_the_key_stays_while_nothing_changes(copy: Path) -> None:
    key = recipe.load("zed-debian12").key
    (copy / "__pycache__").mkdir(exist_ok=True)
    (copy / "__pycache__/disk.cpython-311.pyc").write_bytes(b"another time")
    assert recipe.load("zed-debian12").key == key
    assert re.fullmatch("[0-9a-f]{12}", key)


@pytest.mark.parametrize(
    "name",
    [
        "zed-debian12/packages.txt",
        "zed-debian12/overlay/etc/fstab",
        "zed-debian12/customise.sh",
        "disk.py",
        "chroot.sh",
    ],
)
def test_the_key_changes_with_every_file_of_the_recipe(copy: Path, name: str) -> None:
    key = recipe.load("zed-debian12").key
    with (copy / name).open("a") as file:
        file.write("# changed\n")
    assert recipe.load("zed-debian12").key != key


def test_the_key_changes_with_a_files_mode(copy: Path) -> None:
    key = recipe.load("zed-debian12").key
    (copy / "zed-debian12/overlay/usr/local/sbin/grow-root").chmod(0o644)
    assert recipe.load("zed-debian12").key != key


@pytest.fixture(params=["zed-debian12", "epoxy-debian13"])
def laid(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """All files of a recipe."""
    return recipe.load(request.param).laid_out(tmp_path / "recipe").directory


def test_boot_loader_and_mounts_find_the_root_by_the_uuid_that_the_disk_gets(laid: Path) -> None:
    assert f"root=UUID={disk.UUID} " in (laid / "overlay/boot/grub/grub.cfg").read_text()
    assert f"UUID={disk.UUID} / ext4 " in (laid / "overlay/etc/fstab").read_text()


def test_no_unit_is_both_masked_and_enabled(laid: Path) -> None:
    presets = (laid / "overlay/etc/systemd/system-preset/00-template.preset").read_text()
    masked = (laid / "masked-units.txt").read_text().split()
    assert not set(masked) & set(re.findall(r"^enable (\S+)$", presets, re.MULTILINE))


def test_everything_else_is_disabled(laid: Path) -> None:
    presets = (laid / "overlay/etc/systemd/system-preset/00-template.preset").read_text().splitlines()
    assert presets[-1] == "disable *"


@pytest.mark.parametrize(
    "script",
    [*recipe.HERE.glob("*.sh"), *ZED.glob("*.sh"), *(ZED / "overlay/usr/local/sbin").iterdir()],
    ids=lambda path: path.name,
)
def test_every_script_can_be_called_and_parses(script: Path) -> None:
    assert script.stat().st_mode & 0o111 == 0o111
    assert script.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", script], check=True)
