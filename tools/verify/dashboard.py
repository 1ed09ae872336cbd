"""Logging in to the dashboard like a browser: its form, its cookies, its redirects."""

import time
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

from tools.verify import cloud
from tools.verify.model import UnansweredError, Visit

SECONDS = 300
"""Limit of a page. A process's first one of its kind takes the better part of a minute under emulation."""

PAGE = "/settings/"
"""A page that asks no API on its own account, as the home page does for minutes when a process is new."""

_CSRF = "csrfmiddlewaretoken"


class _Page(HTMLParser):
    """What is of interest in a page of the dashboard: hidden fields, the user at its top, complaints."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    @property
    def user(self) -> str:
        """Whom the page shows as logged in."""
        return " ".join(self._texts.get("user-name", []))

    @property
    def complaint(self) -> str:
        """What the page says is wrong."""
        return " ".join(self._texts.get("alert-danger", []))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a hidden field; note where a text begins that is to be kept."""
        given = {name: value or "" for name, value in attrs}
        if tag == "input" and given.get("type") == "hidden":
            self.hidden[given.get("name", "")] = given.get("value", "")
        kinds = {"user-name", "alert-danger", "noscript"} & {tag, *given.get("class", "").split()}
        within = self._open[-1][1] if self._open else ""
        if tag in ("div", "span", "noscript"):
            self._open.append((tag, within or "".join(kinds)))

    def handle_endtag(self, tag: str) -> None:
        """Note where such a text ends."""
        if self._open and self._open[-1][0] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        if self._open and (kind := self._open[-1][1]):
            self._texts.setdefault(kind, []).extend(data.split())


def log_in(dashboard: str, username: str, password: str, domain: str = "Default") -> Visit:
    """Fill in the login form of the dashboard at that URL, and see who the dashboard says it is."""
    begun = time.monotonic()
    form = f"{dashboard}/auth/login/"
    try:
        with cloud.direct(SECONDS) as browser:
            shown = browser.get(form)
            fields = _Page(shown.text).hidden
            if shown.status_code != 200 or _CSRF not in fields:
                raise UnansweredError(f"{form}: HTTP {shown.status_code} without a login form")
            filled = {**fields, "username": username, "password": password, "domain": domain}
            answer = browser.post(form, data=filled, headers={"Referer": form}, allow_redirects=False)
            if answer.status_code != 302:
                why = _Page(answer.text).complaint or "no complaint"
                raise UnansweredError(f"{form}: HTTP {answer.status_code} to the filled form: {why}")
            home = urljoin(form, answer.headers["Location"])
            if home != f"{dashboard}/":
                raise UnansweredError(f"{form}: leads to {home}")
            page = browser.get(f"{dashboard}{PAGE}")
            if page.status_code != 200:
                raise UnansweredError(f"{page.url}: HTTP {page.status_code}")
    except requests.RequestException as error:
        raise UnansweredError(f"{form}: {cloud.brief(error)}") from error
    return Visit(path=urlsplit(page.url).path, user=_Page(page.text).user, seconds=time.monotonic() - begun)
