"""Words for where things are in a lab: which nodes, where to look when it fails."""

from collections.abc import Iterable

from components.services import nova, placement
from components.services.model import Service, Site
from components.topology import Node
from tools.verify.model import Answers, UnansweredError

UPGRADE_CHECKED = (placement.PLACEMENT, nova.NOVA)
"""The services whose `upgrade check` the guide runs."""


def look(site: Site, service: Service, nodes: Iterable[Node]) -> str:
    """Where to look when a service of these nodes is at fault."""
    packaging = site.packaging(service)
    places = [*(f"journalctl -u {unit}" for unit in packaging.units), *packaging.logs]
    return f"on {names(nodes)}: {', '.join(places)}"


def names(nodes: Iterable[Node]) -> str:
    """The nodes' names in one line."""
    return ", ".join(node.name for node in nodes)


def why(answers: Answers, unanswered: UnansweredError, what: str) -> str:
    """Why a question has no answer; one that was never asked for want of a token says only that."""
    asked = not any(unanswered is login for login in answers.logins.values())
    return str(unanswered) if asked else f"no token, so no {what}"
