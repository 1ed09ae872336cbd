"""All questions, side by side: each takes a bounded time and gives UnansweredError when it gets no usable answer."""

import base64
import csv
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

from components.cloud import instance as tenant_instance
from components.cloud.clients import ADMIN, DEMO, Client
from components.config import Config
from components.secrets import Secrets
from components.services import haproxy
from components.services.horizon import dashboard_url
from components.services.model import Site
from components.services.nova import console_url
from components.topology import Role
from tools.verify import cloud, dashboard, nodes, web
from tools.verify.model import Answers, Login, Page, Server, UnansweredError, VersionDocument, Visit
from tools.verify.places import UPGRADE_CHECKED

T = TypeVar("T")


def everything(config: Config, clients: Path, earlier: Answers | None = None) -> Answers:
    """Ask what is answered at once, then what takes its time. `clients` is the directory of the environment files.

    What takes its time and was right in `earlier`, the answers of a moment ago, is not asked again.
    """
    site, secrets, tenant = config.site, config.secrets, config.tenant
    passed = _right(earlier.upgrades, lambda _, checks: checks.passed) if earlier else {}
    visited = _right(earlier.dashboard, lambda user, visit: visit.user == user) if earlier else {}
    controller = site.topology.having(Role.CONTROLLER)[0]
    with ThreadPoolExecutor(max_workers=64) as pool:
        quick: list[Future[Any]] = []

        def ask(question: Callable[..., T], *arguments: Any, **options: Any) -> Future[T]:
            future = pool.submit(question, *arguments, **options)
            quick.append(future)
            return future

        def as_user(name: str, question: Callable[..., T], *words: str) -> Future[T]:
            login: Future[Login] = logins[name]
            return ask(lambda: question(login.result(), site.region, *words))

        reports = {each.name: ask(nodes.report, each, site, secrets) for each in site.topology.nodes}
        owners = [service.name for service in site.catalogue if service.databases]
        grants = ask(nodes.grants, site.topology.having(Role.DATABASE)[0], owners, secrets)
        cells = ask(nodes.cells, controller, secrets)
        endpoints = {name: ask(endpoint, url) for name, url in endpoint_urls(site).items()}
        closed = {
            (place, listener.port): ask(web.connects, str(place), listener.port, seconds=web.CONNECT_SECONDS)
            for _, listener, places in site.restricted()
            for place in places
        }
        statistics_page = haproxy.statistics_url(site)
        servers = ask(statistics, statistics_page, secrets.value("haproxy_stats_password"))
        logins = {client.username: ask(cloud.login, clients / client.file) for client in (ADMIN, DEMO)}
        console = ask(page, console_url(site))
        assignments = as_user(ADMIN.username, cloud.assignments)
        providers = as_user(ADMIN.username, cloud.providers)
        compute_services = as_user(ADMIN.username, cloud.compute_services)
        network_agents = as_user(ADMIN.username, cloud.network_agents)
        hypervisors = as_user(ADMIN.username, cloud.hypervisors)
        image = as_user(DEMO.username, cloud.image, tenant.image_name)
        instance = as_user(DEMO.username, cloud.instance, tenant_instance.NAME) if tenant.instance else None
        digest = ask(sha256, config.hypervisor.image)
        # What keeps an emulated controller busy for minutes would let the others wait for longer than they may.
        wait(quick)
        upgrades = {
            service.name: pool.submit(_after, logins[ADMIN.username], nodes.upgrade, controller, service, secrets)
            for service in UPGRADE_CHECKED
            if service.name not in passed
        }
        visitors = [client for client in (DEMO, ADMIN) if client.username not in visited]
        visits = pool.submit(visit, site, secrets, {client: logins[client.username] for client in visitors})
    return Answers(
        nodes={name: _settled(future.result) for name, future in reports.items()},
        grants=_settled(grants.result),
        servers=_settled(servers.result),
        lets_in=frozenset(place for place, connected in closed.items() if connected.result()),
        endpoints={name: _settled(future.result) for name, future in endpoints.items()},
        logins={name: _settled(future.result) for name, future in logins.items()},
        assignments=_settled(assignments.result),
        image=_settled(image.result),
        image_sha256=digest.result(),
        providers=_settled(providers.result),
        compute_services=_settled(compute_services.result),
        network_agents=_settled(network_agents.result),
        hypervisors=_settled(hypervisors.result),
        cells=_settled(cells.result),
        upgrades={**passed, **{name: _settled(future.result) for name, future in upgrades.items()}},
        dashboard={**visited, **visits.result()},
        console=_settled(console.result),
        instance=_settled(instance.result) if instance else None,
    )


def silent(urls: Mapping[str, str]) -> list[str]:
    """The services whose endpoint gives no version document at once: until all do, hardly anything is worth asking."""
    with ThreadPoolExecutor(max_workers=max(1, len(urls))) as pool:
        documents = pool.map(lambda url: _settled(partial(endpoint, url, web.CONNECT_SECONDS)), urls.values())
    return [
        name
        for name, document in zip(urls, documents, strict=True)
        if isinstance(document, UnansweredError) or not document.versions
    ]


def endpoint_urls(site: Site) -> dict[str, str]:
    """Each endpoint's URL by its service's name."""
    return {service.name: site.url(service.endpoint) for service in site.catalogue if service.endpoint}


def visit(site: Site, secrets: Secrets, clients: Mapping[Client, Future[Login]]) -> dict[str, Visit | UnansweredError]:
    """Log in to the dashboard as each, by user name; one after the other, since the first one's pages are made anew."""
    url = dashboard_url(site)
    return {
        client.username: _settled(
            partial(_after, login, dashboard.log_in, url, client.username, secrets.value(client.password_name))
        )
        for client, login in clients.items()
    }


def endpoint(url: str, seconds: float = web.SECONDS) -> VersionDocument:
    """Get an API's version document."""
    begun = time.monotonic()
    status, body = _get(url, seconds=seconds)
    return VersionDocument(status=status, seconds=time.monotonic() - begun, versions=versions(body))


def versions(body: bytes) -> tuple[str, ...]:
    """The versions that a version document names, in either of the forms that OpenStack's APIs have."""
    try:
        document: Any = json.loads(body)
    except ValueError:
        return ()
    found = document.get("versions") or [document.get("version")] if isinstance(document, dict) else []
    entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    return tuple(str(entry["id"]) for entry in entries if "id" in entry)


def page(url: str) -> Page:
    """Get a page for people."""
    begun = time.monotonic()
    status, body = _get(url)
    title = re.search(r"<title>\s*(.*?)\s*</title>", body.decode(errors="replace"), re.DOTALL)
    return Page(status=status, seconds=time.monotonic() - begun, title=title[1] if title else "")


def statistics(page: str, password: str, seconds: float = web.SECONDS) -> tuple[Server, ...]:
    """Every server that HAProxy knows of, from its statistics page."""
    url = f"{page};csv"
    credentials = base64.b64encode(f"{haproxy.STATS_USER}:{password}".encode()).decode()
    status, body = _get(url, f"Basic {credentials}", seconds)
    if status != 200:
        raise UnansweredError(f"{url}: HTTP {status}")
    lines = csv.DictReader(body.decode().removeprefix("# ").splitlines())
    return tuple(
        Server(
            listener=line["pxname"],
            name=line["svname"],
            status=line["status"],
            check=line["check_status"],
            seconds=line["lastchg"],
        )
        for line in lines
        if line["svname"] not in ("FRONTEND", "BACKEND")
    )


def _get(url: str, authorization: str = "", seconds: float = web.SECONDS) -> tuple[int, bytes]:
    try:
        return web.get(url, seconds=seconds, authorization=authorization)
    except (OSError, HTTPException) as error:
        raise UnansweredError(f"{url}: {error}") from error


def sha256(file: Path) -> str:
    """Digest of a file's bytes."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _after(login: Future[Login], question: Callable[..., T], *arguments: Any) -> T:
    """Ask what a lab that gives no token would only be busy with for minutes, in vain."""
    login.result()
    return question(*arguments)


def _right(answers: Mapping[str, T | UnansweredError], right: Callable[[str, T], bool]) -> dict[str, T]:
    return {
        name: answer
        for name, answer in answers.items()
        if not isinstance(answer, UnansweredError) and right(name, answer)
    }


def _settled(result: Callable[[], T]) -> T | UnansweredError:
    try:
        return result()
    except UnansweredError as unanswered:
        return unanswered
