"""Run inside a lab's shell: `browser STACK DIRECTORY` looks at the lab's pages in Chromium, as its users do.

Prints as JSON what each page showed and after how many seconds; the directory gets a screenshot of each.
"""

import base64
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

from components.cloud import instance
from components.cloud.clients import ADMIN, DEMO, Client
from components.config import Config
from components.services import haproxy
from tools import stack_values
from tools.verify import dashboard
from tools.verify.places import dashboard_url

SECONDS = 900
"""Limit of all pages together; that of one is the dashboard's."""

WIDTH, HEIGHT = 1280, 800

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root with one
    "--no-proxy-server",
    "--hide-scrollbars",
    f"--window-size={WIDTH},{HEIGHT}",
)

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
_CONSOLE_PAGE = """
return document.querySelector('#noVNC_connect_dlg.noVNC_open') && {title: document.title};
"""
_CONSOLE = """
const canvas = document.querySelector('canvas');
if (!canvas?.width) return null;
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const colours = new Set(new Uint32Array(pixels.buffer)).size;
const status = document.querySelector('#noVNC_status').textContent;
return colours > 1 && {status, width: canvas.width, height: canvas.height, colours};
"""
_STATISTICS = """
const rows = [...document.querySelectorAll('tr:has(td > a[name*="/"])')];
return rows.length && {title: document.title, status: Object.fromEntries(rows.map(
    row => [row.querySelector('a[name]').name, row.querySelectorAll('td.ac')[1].innerText.trim()]))};
"""


@contextmanager
def chromium() -> Iterator[WebDriver]:
    """Chromium without a window, and without a wait of its own: `Browser` waits for what a page shows."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.page_load_strategy = "none"
    for flag in _FLAGS:
        options.add_argument(flag)
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        service = Service("/usr/bin/chromedriver", env={**os.environ, "HOME": home, "TMPDIR": home})
        driver = webdriver.Chrome(options, service)
        try:
            # The window's size has the browser's own bars in it.
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            yield driver
        finally:
            driver.quit()


class Browser:
    """A lab's pages in one browser. `seen` holds what each page showed."""

    def __init__(self, driver: WebDriver, config: Config, directory: Path) -> None:
        self.seen: dict[str, dict[str, Any]] = {}
        self._driver, self._config, self._directory = driver, config, directory
        self._asked = time.monotonic()
        self._deadline = self._asked + SECONDS

    def log_in(self, client: Client, path: str) -> None:
        """Open a page of the dashboard as nobody, and fill in the form that stands in its way."""
        self._driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.open(f"{dashboard_url(self._config.site)}{path}")
        self.see(f"login-{client.username}", _LOGIN_FORM)
        password = self._config.secrets.value(client.password_name)
        for name, text in {"domain": "Default", "username": client.username, "password": password}.items():
            self._driver.find_element(By.NAME, name).send_keys(text)
        self.press("loginBtn")

    def open(self, url: str) -> None:
        """Go to a page."""
        self._act()
        self._evaluate(f"location.assign({json.dumps(url)})")

    def open_statistics(self) -> None:
        """Go to HAProxy's page with its password."""
        password = self._config.secrets.value("haproxy_stats_password")
        credentials = base64.b64encode(f"{haproxy.STATS_USER}:{password}".encode()).decode()
        self._driver.execute_cdp_cmd("Network.enable", {})
        headers = {"headers": {"Authorization": f"Basic {credentials}"}}
        self._driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", headers)
        self.open(f"http://{self._config.site.vip_name}:{haproxy.STATS_PORT}{haproxy.STATS_PATH}")

    def follow(self, link: str) -> None:
        """Click on the link with that text."""
        self._act()
        self._driver.find_element(By.LINK_TEXT, link).click()

    def press(self, button: str) -> None:
        """Click on the button with that id."""
        self._act()
        self._driver.find_element(By.ID, button).click()

    def see(self, page: str, script: str) -> None:
        """Wait until the page shows what the script returns; keep that, and a screenshot."""
        script = f"(() => {{ if (document.readyState !== 'complete') return null;\n{script} }})()"
        limit = min(dashboard.SECONDS, self._deadline - time.monotonic())
        wait = WebDriverWait(self._driver, limit, 0.5, ignored_exceptions=[WebDriverException])
        try:
            shows = wait.until(lambda _: self._evaluate(script))
        except TimeoutException as error:
            self.keep(f"not-{page}")
            # Or the next words would wait for the page.
            self._driver.execute_cdp_cmd("Page.stopLoading", {})
            url = self._driver.current_url.partition("?")[0]
            text = self._driver.find_element(By.TAG_NAME, "body").text
            raise SystemExit(f"{page}: not seen after {self._waited()} s, but {url}:\n{text[-2000:]}") from error
        self.seen[page] = {"seconds": self._waited(), **shows}
        self.keep(page)

    def keep(self, name: str) -> None:
        """Write a screenshot, NAME.png."""
        self._driver.save_screenshot(str(self._directory / f"{name}.png"))

    def _evaluate(self, script: str) -> Any:
        """Unlike selenium's `get` and `execute_script` this never waits for a page that is on its way."""
        answer = self._driver.execute_cdp_cmd("Runtime.evaluate", {"expression": script, "returnByValue": True})
        return answer["result"].get("value")

    def _act(self) -> None:
        self._asked = time.monotonic()

    def _waited(self) -> float:
        return round(time.monotonic() - self._asked, 1)


def look(browser: Browser) -> None:
    """Go round the pages."""
    browser.log_in(ADMIN, "/identity/")
    browser.see("projects", _DASHBOARD % _TABLE)
    browser.log_in(DEMO, "/project/instances/")
    browser.see("instances", _DASHBOARD % _TABLE)
    browser.follow(instance.NAME)
    browser.see("instance", _DASHBOARD % _OVERVIEW)
    browser.follow("Log")
    browser.see("log", _DASHBOARD % _LOG)
    browser.follow("Console")
    browser.see("console-tab", _DASHBOARD % _CONSOLE_TAB)
    browser.follow("Click here to show only console")
    browser.see("console-page", _CONSOLE_PAGE)
    browser.press("noVNC_connect_button")
    browser.see("console", _CONSOLE)
    browser.open_statistics()
    browser.see("statistics", _STATISTICS)


def main() -> None:
    """Print what was seen."""
    stack, directory = sys.argv[1:]
    os.environ["no_proxy"] = "*"  # or selenium would look for the driver behind the user's proxy
    screenshots = Path(directory)
    screenshots.mkdir(parents=True, exist_ok=True)
    with chromium() as driver:
        browser = Browser(driver, stack_values.complete(stack), screenshots)
        look(browser)
    print(json.dumps(browser.seen))


if __name__ == "__main__":
    main()
