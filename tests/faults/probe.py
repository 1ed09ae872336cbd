"""Run inside a lab's shell: `probe STACK` asks every API for something small, over and over, until its input ends.

It does so as an administrator of its own, whose password nothing changes, each time with a new token: whether that is
good an API has to ask Keystone, as its own user. Prints JSON: for each API how often it was asked, for how many seconds
in all it gave no right answer, and what it said then.
"""

import json
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from openstack.connection import Connection
from openstack.identity.v3._proxy import Proxy

from components.cloud.clients import ADMIN
from components.services import keystone
from tools import paths, stack_values
from tools.verify import cloud
from tools.verify.model import UnansweredError

T = TypeVar("T")

NAME = "probe"
PAUSE = 5
"""Seconds between two questions to an API. Each costs Keystone a token: more of them keep an emulated node busy."""
SECONDS = 20
"""An answer that takes longer is none."""

ASKED = {
    "glance": ("image", "/v2/images?limit=1"),
    "placement": ("placement", "/resource_providers"),
    "nova": ("compute", "/servers?limit=1"),
    "neutron": ("network", "/v2.0/networks?limit=1"),
}
"""API -> its type in the catalog and what it is asked for: each looks something up in its database."""


@dataclass
class Answers:
    """What came of the questions to one API."""

    asked: int = 0
    lost: float = 0
    errors: Counter[str] = field(default_factory=Counter)
    _since: float = 0

    def ask(self, question: Callable[[], T]) -> T | None:
        """The answer, or None; a loss begins with the first question that fails and ends with the next answer."""
        begun = time.monotonic()
        self.asked += 1
        try:
            with cloud.asking("answer"):
                answer = question()
        except UnansweredError as error:
            self.errors[" ".join(str(error).split())[:100]] += 1
            self._since = self._since or begun
            return None
        if self._since:
            self.lost += time.monotonic() - self._since
        self._since = 0
        return answer


def administrator(admin: Connection, region: str) -> Callable[[], Session]:
    """Make one; returns what logs in as it."""
    password = secrets.token_urlsafe(18)
    users = admin.identity
    assert isinstance(users, Proxy)
    role = users.find_role(keystone.ADMIN_ROLE, ignore_missing=False)
    project = users.find_project(ADMIN.project, ignore_missing=False)
    for former in users.users(name=NAME):
        users.delete_user(former.id)
    user = users.create_user(name=NAME, domain_id="default", password=password)
    users.assign_project_role_to_user(project.id, user.id, role.id)
    url = admin.session.get_endpoint(service_type="identity", region_name=region)
    assert url is not None

    def log_in() -> Session:
        auth = v3.Password(url, user_id=user.id, password=password, project_id=project.id)
        session = Session(auth, session=cloud.direct(SECONDS))
        session.get_token()
        return session

    return log_in


class Probe:
    """Asks all APIs side by side, each with the newest token that there is."""

    def __init__(self, log_in: Callable[[], Session], region: str) -> None:
        """Log in, which has to succeed the first time."""
        self._log_in = log_in
        self._region = region
        self._session = log_in()
        self.answers = {name: Answers() for name in ("keystone", *ASKED)}

    def ask(self, name: str, ended: threading.Event) -> None:
        """Ask one of them until the end."""
        while not ended.wait(PAUSE):
            if name in ASKED:
                self.answers[name].ask(partial(self._look_up, *ASKED[name]))
            else:
                self._session = self.answers[name].ask(self._log_in) or self._session

    def _look_up(self, kind: str, path: str) -> object:
        endpoint = {"service_type": kind, "interface": "public", "region_name": self._region}
        return self._session.get(path, endpoint_filter=endpoint)


def main() -> None:
    """Ask until nobody listens any more."""
    stack = sys.argv[1]
    region = stack_values.complete(stack).site.region
    admin = cloud.connect(cloud.login(paths.CLIENTS / stack / ADMIN.file), region)
    probe, ended = Probe(administrator(admin, region), region), threading.Event()
    with ThreadPoolExecutor(len(probe.answers)) as pool:
        asking = [pool.submit(probe.ask, name, ended) for name in probe.answers]
        print("asking", flush=True)
        sys.stdin.read()
        ended.set()
        for each in asking:
            each.result()
    told = {
        name: {"asked": each.asked, "lost": each.lost, "errors": each.errors} for name, each in probe.answers.items()
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
