"""Configuration files of oslo.config and MariaDB as nested data."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool
Value: TypeAlias = Scalar | Sequence[Scalar] | None
Ini: TypeAlias = Mapping[str, Mapping[str, Value]]
"""section -> option -> value; a list is joined by commas, None leaves the option to its built-in default."""


def merge(*layers: Ini) -> dict[str, dict[str, Value]]:
    """Lay settings over each other; later ones win, option by option."""
    merged: dict[str, dict[str, Value]] = {}
    for layer in layers:
        for section, options in layer.items():
            merged.setdefault(section, {}).update(options)
    return merged


def render(settings: Ini) -> str:
    """The file's text: sections and options in the order of the data, a blank line between sections, none empty."""
    sections = {
        section: "".join(_line(option, value) for option, value in options.items())
        for section, options in settings.items()
    }
    return "\n".join(f"[{section}]\n{lines}" for section, lines in sections.items() if lines)


def _line(option: str, value: Value) -> str:
    match value:
        case None:
            return ""
        case bool():
            return f"{option} = {str(value).lower()}\n"
        case str() | int() | float():
            return f"{option} = {value}\n"
        case _:
            return f"{option} = {','.join(str(each) for each in value)}\n"
