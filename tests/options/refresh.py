"""`python -m tests.options.refresh RELEASE`: take over the option definitions of the release's own packages.

They are kept as `file -> section -> option -> type`, with a note on deprecated ones.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.options import wheels
from tools import template

HERE = Path(__file__).parent


def condensed(definitions: dict[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """Definitions without bounds, choices and reasons."""
    return {
        file: {
            section: {
                name: option["type"].removesuffix(" value") + (", deprecated" if "deprecated" in option else "")
                for name, option in sorted(options.items())
            }
            for section, options in sorted(sections.items())
        }
        for file, sections in sorted(definitions.items())
    }


def packaged(release: str) -> dict[str, dict[str, dict[str, str]]]:
    """Those of the release's wheels, where it has a list of them, else those beside its template, baked if need be."""
    if (HERE / f"{release}.toml").exists():
        return condensed(wheels.read(release))
    return condensed(json.loads(template.ensure(release).with_suffix(".options.json").read_text()))


def main() -> None:
    """Write the release's file."""
    (release,) = sys.argv[1:]
    text = json.dumps(packaged(release), indent=0, sort_keys=True) + "\n"
    (HERE / f"{release}.json").write_text(text)


if __name__ == "__main__":
    main()
