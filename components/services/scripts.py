"""The guide's restart scripts, with the units of this release."""

from components.services.model import Site, Text
from components.topology import Node


def restart(*services: str) -> Text:
    """A script that restarts the units of those services that the release has, one service after the other."""

    def script(site: Site, _node: Node) -> str:
        packaging = site.release.packaging
        lines = [f"systemctl restart {' '.join(packaging[name].units)}\n" for name in services if name in packaging]
        return "#!/bin/bash\n" + "".join(lines)

    return script
