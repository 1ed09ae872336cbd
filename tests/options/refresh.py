"""`python -m tests.options.refresh RELEASE`: take over the option definitions that the bake read from the packages.

They are kept as `file -> section -> option -> type`, with a note on deprecated ones.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tools import template

HERE = Path(__file__).parent


def condensed(definitions: dict[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """The bake's definitions without bounds, choices and reasons."""
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


def baked(release: str) -> dict[str, dict[str, dict[str, str]]]:
    """The definitions beside the release's template in the cache; it is baked if it is not there."""
    found: dict[str, Any] = json.loads(template.ensure(release).with_suffix(".options.json").read_text())
    return condensed(found)


def main() -> None:
    """Write the release's file."""
    (release,) = sys.argv[1:]
    text = json.dumps(baked(release), indent=0, sort_keys=True) + "\n"
    (HERE / f"{release}.json").write_text(text)


if __name__ == "__main__":
    main()
