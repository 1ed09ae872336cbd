"""The Debian mirrors of this machine, as APT itself sees them, and its settings for reaching them."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tools.steps import StepError

OVERRIDE = "OPENSTACK_LAB_APT_SOURCES"
"""Environment variable: a .sources or .list file to bake from, in place of this machine's mirrors."""

_FIELDS = ("CREATED_BY", "ORIGIN", "CODENAME", "REPO_URI", "COMPONENT")
_COMPONENTS = ("main", "contrib", "non-free", "non-free-firmware")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_SETTINGS = re.compile(r"Acquire::(https?::|Check-|Max-ValidTime|Min-ValidTime|Retries|ForceIPv)", re.IGNORECASE)
"""What APT is told about reaching mirrors: proxies, certificates, and whether old indexes are fine (snapshots)."""


@dataclass(frozen=True)
class Source:
    """One suite on one mirror."""

    uri: str
    suite: str
    components: tuple[str, ...]


def of_machine(suites: Sequence[str], origin: str) -> list[Source]:
    """The sources that this machine's APT has for `suites` of the vendor `origin`; the first suite has to be there.

    A machine of another release of that vendor has mirrors for its own suites: they are taken to have the others, too.
    Other vendors' sources are left out even where they call their suites the same.

    Raises:
        StepError: APT has no source of that vendor.
    """
    sources = _of_suites(_read(origin), suites)
    if not sources:
        # APT knows a source's vendor from its indexes, which are missing after a clean-up. Fetch them to the side.
        with tempfile.TemporaryDirectory() as lists:
            option = ("-o", f"Dir::State::Lists={lists}")
            subprocess.run(
                ["apt-get", *option, "update", "-qq"], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            sources = _of_suites(_read(origin, *option), suites)
    if suites[0] not in {source.suite for source in sources}:
        raise StepError(
            f"this machine's APT has no source for {origin}'s {suites[0]}, which the template is made from",
            f"set {OVERRIDE} to a .sources or .list file with a mirror that has {', '.join(suites)}",
        )
    return sources


def _of_suites(sources: Sequence[Source], suites: Sequence[str]) -> list[Source]:
    """The sources of these suites, or else those of another release's, with these suites in the place of its own."""
    if any(source.suite == suites[0] for source in sources):
        return [source for source in sources if source.suite in suites]
    for other in (source.suite for source in sources if "-" not in source.suite):
        theirs = {other + suite.removeprefix(suites[0]): suite for suite in suites}
        return [replace(source, suite=theirs[source.suite]) for source in sources if source.suite in theirs]
    return []


def _read(origin: str, *options: str) -> list[Source]:
    """All sources of a vendor."""
    pattern = "\t".join(f"$({field})" for field in _FIELDS)
    command = ["apt-get", *options, "indextargets", "--format", pattern]
    lines = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
    components: dict[tuple[str, str], list[str]] = {}
    for line in lines.splitlines():
        created_by, vendor, suite, uri, component = line.split("\t")
        ours = vendor == origin and component in _COMPONENTS
        if created_by == "Packages" and ours and component not in components.setdefault((uri, suite), []):
            components[uri, suite].append(component)
    return [Source(uri, suite, tuple(names)) for (uri, suite), names in components.items()]


def deb822(sources: Iterable[Source]) -> str:
    """The sources as the text of a .sources file."""
    return "\n".join(
        f"Types: deb\nURIs: {source.uri}\nSuites: {source.suite}\nComponents: {' '.join(source.components)}\n"
        f"Signed-By: {_KEYRING}\n"
        for source in sources
    )


def settings() -> list[str]:
    """This machine's APT settings for reaching mirrors, one `name "value";` a line."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [line for line in dump.splitlines() if _SETTINGS.match(line) and not line.endswith(' "";')]


def without_secrets(sources: Iterable[Source]) -> list[Source]:
    """The sources with users and passwords taken out of their addresses, fit for a file that anybody may read."""
    return [Source(_without_user(source.uri), source.suite, source.components) for source in sources]


def for_guests(lines: Iterable[str]) -> list[str]:
    """Those settings that hold on another machine, too: nothing that names a file here, or holds a password."""
    return [line for line in lines if "@" not in line and '"/' not in line]


def override() -> Path | None:
    """The file that `OVERRIDE` names, if it is set."""
    value = os.environ.get(OVERRIDE)
    if not value:
        return None
    file = Path(value)
    if file.suffix not in {".sources", ".list"} or not file.is_file():
        raise StepError(f"{OVERRIDE}: {value!r} is not allowed; allowed: the path of a .sources or .list file")
    return file


def _without_user(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
