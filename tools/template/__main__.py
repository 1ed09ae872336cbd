"""`python -m tools.template RELEASE [--output FILE]`: bake a template, perhaps for another machine."""

import argparse
import hashlib
import shutil
import sys
from pathlib import Path

from tools import steps, template
from tools.steps import StepError
from tools.template.recipe import DEFAULT


def main() -> int:
    """Bake, copy to where it was asked for, and print what the stack's configuration needs to use it."""
    parser = argparse.ArgumentParser(prog="python -m tools.template", description="Bake a machine template.")
    parser.add_argument("release", nargs="?", default=DEFAULT, help="release to bake (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="copy the template there")
    parser.add_argument("--sources", type=Path, metavar="FILE", help=".sources or .list file to install from")
    arguments = parser.parse_args()
    try:
        image = template.ensure(arguments.release, apt_sources=arguments.sources)
    except StepError as error:
        steps.report(error)
        return 1
    if arguments.output:
        shutil.copyfile(image, arguments.output)
        image = arguments.output
    with image.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    print(f"template: {image.resolve()}\ntemplateSha256: {checksum}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
