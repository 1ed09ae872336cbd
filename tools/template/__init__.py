"""Bakes the template: an ordinary bootable disk image with the packages of all roles installed.

Standard library only: set-up runs it as root.
"""

from pathlib import Path

from tools import paths, steps
from tools.template import bake, sources
from tools.template.recipe import DEFAULT, load

__all__ = ["ensure"]


def ensure(release: str = DEFAULT, *, apt_sources: Path | None = None) -> Path:
    """The release's template as a qcow2 file in the cache; bake it if it is not there.

    Beside it lie `.json` (package versions, bytes, seconds) and `.options.json` (option definitions of all services).

    Args:
        release: name of a directory beside this file.
        apt_sources: a .sources or .list file to install from. Default: what `OPENSTACK_LAB_APT_SOURCES` names, or else
            the mirrors that this machine's APT uses.

    Raises:
        StepError: there is no such recipe, no mirror, no room, or a step of the bake failed.
    """
    recipe = load(release)
    image = paths.cache() / "templates" / f"{release}-{recipe.key}.qcow2"
    if not image.exists():
        # One bake at a time, so that what lies in the cache half baked is an abandoned one's.
        with steps.lock(image.with_name("bake.lock")):
            if not image.exists():
                bake.make(recipe, image, apt_sources or sources.override())
                return image
    with steps.step("template", image.name) as step:
        step.skip("cached")
    return image
