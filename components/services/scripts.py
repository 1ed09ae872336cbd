"""The guide's restart scripts, with the units of this release."""

from components.services.model import Site, Text
from components.topology import Node


def restart(*services: str) -> Text:
    """A script that restarts the services' units, one service after the other."""

    def script(site: Site, _node: Node) -> str:
        lines = [f"systemctl restart {' '.join(site.release.packaging[name].units)}\n" for name in services]
        return "#!/bin/bash\n" + "".join(lines)

    return script
