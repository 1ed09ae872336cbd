"""Run inside a lab's shell: `load STACK COUNT` lists and makes that many of each kind through the VIP, side by side.

Meanwhile HAProxy, Glance and the database are restarted, each after another quarter of the requests. Prints JSON:
requests, errors that clients saw by who was restarted and their texts, how many of each kind were made by the APIs'
word, and which of them are not there.
"""

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from openstack.exceptions import raise_from_response

from components.cloud.clients import ADMIN
from components.cloud.network import NAME as NETWORK
from components.config import Config
from components.services import glance, haproxy, infrastructure
from components.services.model import Service
from tools import paths, stack_values
from tools.verify import cloud, nodes
from tools.verify.model import UnansweredError

AT_ONCE = 8
PREFIX = "load-"
PAUSE = 1
"""Seconds for which a client waits after an error."""
SECONDS = 300
"""How long an API may take to answer again when all is over."""

RESTARTED = (None, haproxy.HAPROXY, glance.GLANCE, infrastructure.MARIADB)
"""Whose units are restarted at the beginning of each part of the requests."""


class Load:
    """What clients ask for, and what came of it."""

    def __init__(self, config: Config, stack: str) -> None:
        """Log in, which nothing disturbs yet."""
        self._client = paths.CLIENTS / stack / ADMIN.file
        self._admin = cloud.connect(cloud.login(self._client), config.site.region)
        self._network = self._admin.network.find_network(NETWORK, ignore_missing=False)
        self.kinds = (self._token, self._list_images, self._make_image, self._list_ports, self._make_port)
        self.errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.made: dict[str, list[str]] = {"images": [], "ports": []}

    def attempt(self, kind: Callable[[int], None], number: int, meanwhile: str) -> None:
        """Ask for one thing; an error is counted, and is no reason to ask again."""
        try:
            with cloud.asking(kind.__name__.strip("_")):
                kind(number)
        except UnansweredError as error:
            self.errors[meanwhile][" ".join(str(error).split())[:120]] += 1
            time.sleep(PAUSE)

    def lost(self) -> list[str]:
        """The identifiers of what was made by an API's word, and is not there."""
        images = patiently(lambda: [each.id for each in self._admin.image.images() if is_own(each.name)])
        ports = patiently(lambda: [each.id for each in self._admin.network.ports() if is_own(each.name)])
        return sorted({*self.made["images"], *self.made["ports"]} - {*images, *ports})

    def _token(self, _: int) -> None:
        cloud.login(self._client)

    def _list_images(self, _: int) -> None:
        list(self._admin.image.images())

    def _list_ports(self, _: int) -> None:
        list(self._admin.network.ports())

    def _make_image(self, number: int) -> None:
        answer = self._admin.image.post("/images", json={"name": f"{PREFIX}{number}"})
        raise_from_response(answer)
        self.made["images"].append(answer.json()["id"])

    def _make_port(self, number: int) -> None:
        port = self._admin.network.create_port(name=f"{PREFIX}{number}", network_id=self._network.id)
        self.made["ports"].append(port.id)


def main() -> None:
    """Do all of it."""
    stack, count = sys.argv[1], int(sys.argv[2])
    config = stack_values.complete(stack)
    load = Load(config, stack)
    with ThreadPoolExecutor(AT_ONCE) as clients, ThreadPoolExecutor(1) as hand:
        for part, service in enumerate(RESTARTED):
            restart = hand.submit(restarted, config, service)
            numbers = range(count * part // len(RESTARTED), count * (part + 1) // len(RESTARTED))
            meanwhile = service.name if service else "nothing"
            answers: list[Future[None]] = [
                clients.submit(load.attempt, kind, number, meanwhile) for number in numbers for kind in load.kinds
            ]
            for each in (restart, *answers):
                each.result()
    made = {kind: len(identifiers) for kind, identifiers in load.made.items()}
    found = {"requests": count * len(load.kinds), "errors": load.errors, "made": made, "lost": load.lost()}
    print(json.dumps(found))


def restarted(config: Config, service: Service | None) -> None:
    """Restart a service's units on all its nodes."""
    if service:
        for node in service.nodes(config.site.topology):
            script = f"systemctl restart {' '.join(config.site.packaging(service).units)}"
            nodes.run(node, script, config.secrets, seconds=SECONDS)


def is_own(name: str | None) -> bool:
    """Whether that is the name of something made here."""
    return (name or "").startswith(PREFIX)


def patiently(ask: Callable[[], Sequence[str]]) -> Sequence[str]:
    """The answer, once there is one; UnansweredError after SECONDS."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with cloud.asking("after it all"):
                return ask()
        except UnansweredError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)


if __name__ == "__main__":
    main()
