"""Run inside a lab's shell: `browser STACK DIRECTORY` looks at the lab's pages in Chromium, as its users do.

Prints as JSON what each page showed and after how many seconds; the directory gets a screenshot of each.
"""

import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, HttpCredentials, TimeoutError, sync_playwright

from components.cloud import instance
from components.cloud.clients import ADMIN, DEMO, Client
from components.config import Config
from components.services import haproxy
from components.services.horizon import dashboard_url
from tools import stack_values
from tools.verify import dashboard

SECONDS = 900
"""Limit of all pages together; that of one is the dashboard's."""

ACT_SECONDS = 60
"""Limit of a click and of a screenshot."""

# Each is the body of a function that returns what its page shows, and null until it does.
_LOGIN_FORM = """
return document.querySelector('#loginBtn')
    && {title: document.title, labels: [...document.querySelectorAll('form label')].map(each => each.innerText.trim())}
"""
_DASHBOARD = """
const text = selector => document.querySelector(selector)?.innerText.trim();
const texts = (selector, within = document) =>
    [...within.querySelectorAll(selector)].map(each => each.innerText.trim());
const user = text('.user-name');
const shows = (%s)();
const alerts = texts('.alert-danger, .toast');
return user && shows && {title: document.title, user, project: text('.context-project'), alerts, ...shows};
"""
_TABLE = """() => {
    const table = document.querySelector('.table_wrapper table');
    const heads = table && texts('thead tr:last-child th', table);
    return table && {rows: [...table.querySelectorAll('tbody tr[data-object-id]')].map(
        row => Object.fromEntries(texts('td', row).map((cell, i) => [heads[i], cell]).filter(([head]) => head)))};
}"""
_OVERVIEW = """() => document.querySelector('#instance_details__overview dt') && {
    fields: Object.fromEntries([...document.querySelectorAll('#instance_details__overview dt')].map(
        name => [name.innerText.trim(), name.nextElementSibling?.innerText.trim()])),
}"""
_LOG = "() => text('pre.logs') && {log: text('pre.logs')}"
_CONSOLE_TAB = """() => document.querySelector('iframe#console_embed') && {
    console: document.querySelector('iframe#console_embed').src.split('?')[0]
}"""
_CONSOLE = """
const canvas = document.querySelector('canvas');
if (!canvas?.width) return null;
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const colours = new Set(new Uint32Array(pixels.buffer)).size;
const status = document.querySelector('#status').textContent;
return colours > 1 && {status, width: canvas.width, height: canvas.height, colours};
"""
_STATISTICS = """
const rows = [...document.querySelectorAll('tr:has(td > a[name*="/"])')];
return rows.length && {title: document.title, status: Object.fromEntries(rows.map(
    row => [row.querySelector('a[name]').name, row.querySelectorAll('td.ac')[1].innerText.trim()]))};
"""


class Visitor:
    """Somebody with a browser window, and cookies, of their own. `seen` holds what each page showed."""

    def __init__(
        self, browser: Browser, directory: Path, deadline: float, login: HttpCredentials | None = None
    ) -> None:
        self.seen: dict[str, dict[str, Any]] = {}
        context = browser.new_context(viewport={"width": 1280, "height": 800}, http_credentials=login)
        context.set_default_timeout(ACT_SECONDS * 1000)
        self._page = context.new_page()
        self._directory, self._deadline = directory, deadline
        self._asked = time.monotonic()

    def open(self, url: str) -> None:
        """Go to a page."""
        self._act()
        self._page.goto(url, wait_until="commit", timeout=self._left())

    def log_in(self, client: Client, password: str) -> None:
        """Fill in the dashboard's form with the keyboard, whose words no error message repeats."""
        for name, text in {"domain": "Default", "username": client.username, "password": password}.items():
            self._page.locator(f"[name={name}]").focus()
            self._page.keyboard.type(text)
        self.press("#loginBtn")

    def follow(self, link: str) -> None:
        """Click on the link with that text."""
        self._act()
        self._page.get_by_role("link", name=link, exact=True).click(no_wait_after=True)

    def press(self, button: str) -> None:
        """Click on what the CSS selector names."""
        self._act()
        self._page.locator(button).click(no_wait_after=True)

    def see(self, name: str, script: str) -> None:
        """Wait until the page shows what the script returns; keep that, and a screenshot, NAME.png."""
        script = f"() => {{ if (document.readyState !== 'complete') return null;\n{script} }}"
        try:
            shows = self._page.wait_for_function(script, polling=500, timeout=self._left()).json_value()
        except TimeoutError as error:
            waited, url = self._waited(), self._page.url.partition("?")[0]
            self._keep(f"not-{name}")
            text = self._page.locator("body").inner_text()
            raise SystemExit(f"{name}: not seen after {waited} s, but {url}:\n{text[-2000:]}") from error
        self.seen[name] = {"seconds": self._waited(), **shows}
        self._keep(name)

    def _keep(self, name: str) -> None:
        self._page.screenshot(path=self._directory / f"{name}.png")

    def _act(self) -> None:
        self._asked = time.monotonic()

    def _waited(self) -> float:
        return round(time.monotonic() - self._asked, 1)

    def _left(self) -> float:
        """Milliseconds that a page may still take; none would mean no limit."""
        return 1000 * max(1, min(dashboard.SECONDS, self._deadline - time.monotonic()))


def look(browser: Browser, config: Config, directory: Path) -> dict[str, dict[str, Any]]:
    """Go round the pages; what each showed."""
    site, secrets = config.site, config.secrets
    deadline = time.monotonic() + SECONDS
    home = dashboard_url(site)

    admin = Visitor(browser, directory, deadline)
    admin.open(f"{home}/identity/")
    admin.see("login", _LOGIN_FORM)
    admin.log_in(ADMIN, secrets.value(ADMIN.password_name))
    admin.see("projects", _DASHBOARD % _TABLE)

    user = Visitor(browser, directory, deadline)
    user.open(f"{home}/project/instances/")
    user.see("login", _LOGIN_FORM)
    user.log_in(DEMO, secrets.value(DEMO.password_name))
    user.see("instances", _DASHBOARD % _TABLE)
    user.follow(instance.NAME)
    user.see("instance", _DASHBOARD % _OVERVIEW)
    user.press("[data-target='#instance_details__log']")
    user.see("log", _DASHBOARD % _LOG)
    user.press("[data-target='#instance_details__console']")
    user.see("console-tab", _DASHBOARD % _CONSOLE_TAB)
    user.follow("Click here to show only console")
    user.see("console", _CONSOLE)

    login: HttpCredentials = {"username": haproxy.STATS_USER, "password": secrets.value("haproxy_stats_password")}
    operator = Visitor(browser, directory, deadline, login)
    operator.open(haproxy.statistics_url(site))
    operator.see("statistics", _STATISTICS)
    return admin.seen | user.seen | operator.seen


def main() -> None:
    """Print what was seen."""
    stack, directory = sys.argv[1:]
    screenshots = Path(directory)
    screenshots.mkdir(parents=True, exist_ok=True)
    config = stack_values.complete(stack)
    with TemporaryDirectory() as home, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-proxy-server"], env={**os.environ, "HOME": home}
        )
        print(json.dumps(look(chromium, config, screenshots)))
        chromium.close()


if __name__ == "__main__":
    main()
