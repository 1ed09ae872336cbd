"""The template is installed from Debian's own sources of this machine, in whatever form APT has them."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.steps import StepError
from tools.template import sources
from tools.template.sources import Source

SUITES = ("bookworm", "bookworm-updates", "bookworm-security")

DEB822 = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
deb http://mirror.example/debian bookworm main contrib
deb [arch=amd64] http://mirror.example/debian bookworm-updates main contrib
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
"""
OTHERS = """\
deb http://vendor.example/apt bookworm main
deb http://mirror.example/debian bullseye main
"""
RELEASES = {
    ("mirror.example/debian", "bookworm"): "Debian",
    ("mirror.example/debian", "bookworm-updates"): "Debian",
    ("mirror.example/debian-security", "bookworm-security"): "Debian",
    ("mirror.example/debian", "bullseye"): "Debian",
    ("vendor.example/apt", "bookworm"): "Some Vendor",
}
EXPECTED = [
    Source("http://mirror.example/debian/", "bookworm", ("main", "contrib")),
    Source("http://mirror.example/debian/", "bookworm-updates", ("main", "contrib")),
    Source("http://mirror.example/debian-security/", "bookworm-security", ("main",)),
]


class Apt:
    """An APT configuration of the test's own, with indexes as if fetched from mirrors that do not exist."""

    def __init__(self, directory: Path) -> None:
        self.parts = directory / "sources.list.d"
        self.config = directory / "apt.conf"
        lists = directory / "lists"
        for path in (self.parts, lists / "partial"):
            path.mkdir(parents=True)
        for (site, suite), origin in RELEASES.items():
            index = f"{site.replace('/', '_')}_dists_{suite}"
            aliased = suite.replace("bookworm", "oldstable")
            (lists / f"{index}_Release").write_text(f"Origin: {origin}\nSuite: {aliased}\nCodename: {suite}\n")
            for component in ("main", "contrib"):
                (lists / f"{index}_{component}_binary-amd64_Packages").touch()
        self.set(
            f'Dir::Etc::sourceparts "{self.parts}"', 'Dir::Etc::sourcelist "/dev/null"', f'Dir::State::lists "{lists}"'
        )

    def set(self, *lines: str) -> None:
        with self.config.open("a") as file:
            file.writelines(f"{line};\n" for line in lines)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    made = Apt(tmp_path)
    monkeypatch.setenv("APT_CONFIG", str(made.config))
    return made


@pytest.mark.parametrize(("name", "text"), [("debian.sources", DEB822), ("debian.list", ONE_LINE)])
def test_both_forms_of_apts_sources_give_the_same(apt: Apt, name: str, text: str) -> None:
    (apt.parts / name).write_text(text)
    assert sources.of_machine(SUITES, "Debian") == EXPECTED


def test_other_vendors_and_releases_are_left_out(apt: Apt) -> None:
    (apt.parts / "debian.list").write_text(OTHERS + ONE_LINE)
    assert sources.of_machine(SUITES, "Debian") == EXPECTED


def test_a_machine_of_another_release_gives_its_mirrors(apt: Apt) -> None:
    """They have all releases; a mirror that has not is named by the step that asks it."""
    (apt.parts / "debian.list").write_text(ONE_LINE)
    assert sources.of_machine(("trixie", "trixie-updates", "trixie-security"), "Debian") == [
        replace(source, suite=source.suite.replace("bookworm", "trixie")) for source in EXPECTED
    ]


def test_a_machine_without_the_release_is_told_what_to_set(apt: Apt) -> None:
    (apt.parts / "vendor.list").write_text(OTHERS.splitlines()[0])
    apt.set('Acquire::http::Proxy "http://127.0.0.1:9"', 'Acquire::Retries "0"')
    with pytest.raises(StepError, match="no source for Debian's bookworm") as caught:
        sources.of_machine(SUITES, "Debian")
    assert sources.OVERRIDE in caught.value.remedy


def test_what_is_written_for_apt_is_read_by_apt_as_the_same(apt: Apt) -> None:
    (apt.parts / "again.sources").write_text(sources.deb822(EXPECTED))
    assert sources.of_machine(SUITES, "Debian") == EXPECTED


def test_proxies_certificates_and_old_indexes_are_carried_over(apt: Apt) -> None:
    settings = ('Acquire::http::Proxy "http://proxy.example:3142"', 'Acquire::https::CaInfo "/etc/ssl/own.pem"')
    apt.set(*settings, 'Acquire::Check-Valid-Until "false"', 'APT::Install-Recommends "true"')
    found = sources.settings()
    assert {f"{setting};" for setting in settings} <= set(found)
    assert 'Acquire::Check-Valid-Until "false";' in found
    assert not any("Recommends" in line for line in found)


def test_guests_get_no_password_and_no_file_that_they_do_not_have() -> None:
    lines = [
        'Acquire::http::Proxy "http://proxy.example:3142";',
        'Acquire::https::Proxy "http://user:secret@proxy.example:3142";',
        'Acquire::https::CaInfo "/etc/ssl/own.pem";',
    ]
    assert sources.for_guests(lines) == lines[:1]
    [source] = sources.without_secrets(
        [Source("https://user:secret@mirror.example:8080/debian/", "bookworm", ("main",))]
    )
    assert source.uri == "https://mirror.example:8080/debian/"


def test_the_override_has_to_be_a_file_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sources.OVERRIDE, raising=False)
    assert sources.override() is None
    file = tmp_path / "own.sources"
    monkeypatch.setenv(sources.OVERRIDE, str(file))
    with pytest.raises(
        StepError, match=r"own\.sources' is not allowed; allowed: the path of a \.sources or \.list file"
    ):
        sources.override()
    file.write_text(DEB822)
    assert sources.override() == file
