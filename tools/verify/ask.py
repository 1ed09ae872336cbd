"""The questions: each takes a bounded time and raises UnansweredError when it gets no usable answer."""

import base64
import csv
import hashlib
import shlex
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import requests
from keystoneauth1.exceptions import ClientException
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from openstack.connection import Connection
from openstack.exceptions import SDKException
from requests.adapters import HTTPAdapter

from components import remote
from components.cloud.clients import ADMIN, DEMO
from components.config import Config
from components.secrets import KeyPair
from components.services import haproxy
from components.services.model import Site
from components.topology import Node
from tools.verify import ssh, web
from tools.verify.model import (
    Answers,
    Clock,
    HttpAnswer,
    ImageFound,
    Login,
    NodeReport,
    Server,
    UnansweredError,
    UnitState,
)

SECONDS = 60
"""Limit of a question. Answers take some seconds at most, but for an emulated lab on a busy machine."""

STATISTICS_USER = "haadmin"

_UNIT_PROPERTIES = ("ActiveState", "SubState", "UnitFileState")
_RULE = "---"
_CHUNK = 1024 * 1024

T = TypeVar("T")


def everything(config: Config, clients: Path) -> Answers:
    """Ask all at once; `clients` is the directory of the client environment files."""
    site, secrets = config.site, config.secrets
    login_key = remote.login_key_pair(secrets)
    with ThreadPoolExecutor(max_workers=64) as pool:
        nodes = {
            each.name: pool.submit(node, each, site, login_key, remote.host_key_pair(each, secrets))
            for each in site.topology.nodes
        }
        endpoints = {
            service.name: pool.submit(endpoint, site.url(service.endpoint))
            for service in site.catalogue
            if service.endpoint
        }
        page = f"http://{site.vip_name}:{haproxy.STATS_PORT}{haproxy.STATS_PATH}"
        servers = pool.submit(statistics, page, secrets.value("haproxy_stats_password"))
        logins = {client.username: pool.submit(login, clients / client.file) for client in (ADMIN, DEMO)}
        tenant = logins[DEMO.username]
        found = pool.submit(lambda: image(tenant.result(), site.region, config.image_name))
        digest = pool.submit(sha256, config.hypervisor.image)
    return Answers(
        nodes={name: _settled(future.result) for name, future in nodes.items()},
        servers=_settled(servers.result),
        endpoints={name: _settled(future.result) for name, future in endpoints.items()},
        logins={name: _settled(future.result) for name, future in logins.items()},
        image=_settled(found.result),
        image_sha256=digest.result(),
    )


def node(node: Node, site: Site, login: KeyPair, host: KeyPair) -> NodeReport:
    """Log in to a node once and have it say everything."""
    units = units_of(site, node)
    script = f"; echo {_RULE}; ".join(
        [
            f"ip -4 -o address show to {site.topology.vip}",
            "chronyc -n -c tracking 2>&1",
            shlex.join(["systemctl", "show", f"--property={','.join(_UNIT_PROPERTIES)}", "--", *units]),
        ]
    )
    return report(ssh.run(str(node.address), script, login=login, host=host, seconds=SECONDS), units)


def units_of(site: Site, node: Node) -> tuple[str, ...]:
    """The units that are to run on a node, in catalogue order."""
    return tuple(
        unit
        for service in site.catalogue
        if node in service.nodes(site.topology)
        for unit in site.packaging(service).units
    )


def report(output: str, units: Sequence[str]) -> NodeReport:
    """What a node's script printed."""
    parts = output.split(f"{_RULE}\n")
    blocks = parts[-1].strip().split("\n\n")
    if len(parts) != 3 or len(blocks) != len(units):
        raise UnansweredError(f"not understood: {output.strip()[-200:]!r}")
    states = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
    return NodeReport(
        holds_vip=bool(parts[0].strip()),
        clock=_clock(parts[1].strip()),
        units={
            unit: UnitState(*(state.get(each, "") for each in _UNIT_PROPERTIES))
            for unit, state in zip(units, states, strict=True)
        },
    )


def _clock(line: str) -> Clock | UnansweredError:
    """A line of `chronyc -c tracking`: the reference, its address, stratum, time, offset, …, leap status last."""
    fields = line.split(",")
    try:
        return Clock(source=fields[1], stratum=int(fields[2]), offset=float(fields[4]), leap=fields[-1])
    except (IndexError, ValueError):
        return UnansweredError(f"chronyc: {line[-200:]}")


def endpoint(url: str) -> HttpAnswer:
    """Get an API's version document."""
    begun = time.monotonic()
    status, _ = _get(url)
    return HttpAnswer(status=status, seconds=time.monotonic() - begun)


def statistics(page: str, password: str) -> tuple[Server, ...]:
    """Every server that HAProxy knows of, from its statistics page."""
    url = f"{page};csv"
    credentials = base64.b64encode(f"{STATISTICS_USER}:{password}".encode()).decode()
    status, body = _get(url, f"Basic {credentials}")
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


def _get(url: str, authorization: str = "") -> tuple[int, bytes]:
    try:
        return web.get(url, seconds=SECONDS, authorization=authorization)
    except (OSError, HTTPException) as error:
        raise UnansweredError(f"{url}: {error}") from error


def login(client: Path) -> Login:
    """Get a token as the user of a client environment file."""
    given = variables(client)
    auth = v3.Password(
        auth_url=given["OS_AUTH_URL"],
        username=given["OS_USERNAME"],
        password=given["OS_PASSWORD"],
        project_name=given["OS_PROJECT_NAME"],
        user_domain_name=given["OS_USER_DOMAIN_NAME"],
        project_domain_name=given["OS_PROJECT_DOMAIN_NAME"],
    )
    session = Session(auth=auth, session=_direct())
    try:
        access = auth.get_access(session)
    except ClientException as error:
        raise UnansweredError(f"no token: {_brief(error)}") from error
    return Login(
        session=session,
        project=access.project_name or "",
        roles=tuple(access.role_names or ()),
        catalog=access.service_catalog.catalog,
    )


def variables(client: Path) -> dict[str, str]:
    """What sourcing a client environment file would set."""
    try:
        lines = client.read_text().splitlines()
    except OSError as error:
        raise UnansweredError(f"{client}: {error.strerror}") from error
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


def image(login: Login, region: str, name: str) -> ImageFound:
    """Find the public image as that user does, and download it."""
    connection = Connection(session=login.session, region_name=region)
    try:
        connection.image.status_code_retries = 0
        images = list(connection.image.images(name=name, visibility="public"))
        if len(images) != 1:
            raise UnansweredError(f"{len(images)} public images of the name {name}")
        found = images[0]
        digest = None
        if found.status == "active":
            download = connection.image.download_image(str(found.id), stream=True)
            summed = hashlib.sha256()
            for chunk in download.iter_content(_CHUNK):
                summed.update(chunk)
            digest = summed.hexdigest()
    except (SDKException, ClientException, requests.RequestException) as error:
        raise UnansweredError(f"Glance: {_brief(error)}") from error
    return ImageFound(status=str(found.status), size=int(found.size or 0), sha256=digest)


class _Limits(HTTPAdapter):
    """The limits of this module in place of one for connection and answer alike."""

    def send(self, request: requests.PreparedRequest, *_: Any, stream: bool = False, **__: Any) -> requests.Response:
        """Send within the limits."""
        return super().send(request, stream=stream, timeout=(web.CONNECT_SECONDS, SECONDS))


def _direct() -> requests.Session:
    """An HTTP session without proxies and credentials of the operator's own."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _Limits())
    return session


def _brief(error: Exception) -> str:
    """Without the inner error that the text of a failed connection repeats at length."""
    return str(error).partition(": HTTPConnectionPool")[0]


def sha256(file: Path) -> str:
    """Digest of a file's bytes."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _settled(result: Callable[[], T]) -> T | UnansweredError:
    try:
        return result()
    except UnansweredError as unanswered:
        return unanswered
