"""The questions that the cloud's APIs answer, asked as one of its users."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from keystoneauth1.exceptions import ClientException
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from openstack.compute.v2.server import Server
from openstack.connection import Connection
from openstack.exceptions import SDKException, raise_from_response
from openstack.identity.v3._proxy import Proxy as Keystone
from requests.adapters import HTTPAdapter

from components.cloud import clients
from components.config import Config
from tools.verify import web
from tools.verify.model import (
    Assignment,
    Daemon,
    Hypervisor,
    ImageFound,
    Instance,
    Login,
    MissingError,
    Provider,
    UnansweredError,
)

_CHUNK = 1024 * 1024

_BEFORE_PLACEMENT = "2.87"
"""The last version of the compute API in which hypervisors tell what they have."""


def login(client: Path) -> Login:
    """Get a token as the user of a client environment file."""
    try:
        text = client.read_text()
    except OSError as error:
        raise UnansweredError(f"{client}: {error.strerror}") from error
    return authenticate(variables(text))


def authenticate(given: Mapping[str, str]) -> Login:
    """Get a token as the user that a client environment tells of."""
    auth = v3.Password(
        auth_url=given["OS_AUTH_URL"],
        username=given["OS_USERNAME"],
        password=given["OS_PASSWORD"],
        project_name=given["OS_PROJECT_NAME"],
        user_domain_name=given["OS_USER_DOMAIN_NAME"],
        project_domain_name=given["OS_PROJECT_DOMAIN_NAME"],
    )
    session = Session(auth=auth, session=direct())
    try:
        access = auth.get_access(session)
    except ClientException as error:
        raise UnansweredError(f"no token: {brief(error)}") from error
    return Login(
        session=session,
        project=access.project_name or "",
        roles=tuple(access.role_names or ()),
        catalog=access.service_catalog.catalog,
    )


def variables(text: str) -> dict[str, str]:
    """What sourcing a client environment file would set."""
    return dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines())


def connect(login: Login, region: str) -> Connection:
    """All APIs of the cloud; none is asked anything before it is used."""
    return Connection(session=login.session, region_name=region)


def connect_as(client: clients.Client, config: Config) -> Connection:
    """The same as one of the lab's own users."""
    login = authenticate(clients.variables(client, config.site, config.secrets))
    return connect(login, config.site.region)


@contextmanager
def asking(service: str) -> Iterator[None]:
    """Every way in which an API can fail as UnansweredError."""
    try:
        yield
    except (SDKException, ClientException, requests.RequestException) as error:
        raise UnansweredError(f"{service}: {brief(error)}") from error


def image(login: Login, region: str, name: str) -> ImageFound:
    """Find the public image as that user does, and download it."""
    with asking("Glance"):
        glance = connect(login, region).image
        glance.status_code_retries = 0
        images = list(glance.images(name=name, visibility="public"))
        if len(images) != 1:
            raise UnansweredError(f"{len(images)} public images of the name {name}")
        found = images[0]
        digest = None
        if found.status == "active":
            download = glance.download_image(str(found.id), stream=True)
            summed = hashlib.sha256()
            for chunk in download.iter_content(_CHUNK):
                summed.update(chunk)
            digest = summed.hexdigest()
    return ImageFound(status=str(found.status), size=int(found.size or 0), sha256=digest)


def providers(login: Login, region: str) -> Sequence[Provider]:
    """Placement's resource providers."""
    with asking("Placement"):
        placement = connect(login, region).placement
        return [
            Provider(
                name=str(provider.name),
                totals={
                    str(inventory.resource_class): int(inventory.total)
                    for inventory in placement.resource_provider_inventories(provider)
                },
            )
            for provider in placement.resource_providers()
        ]


def compute_services(login: Login, region: str) -> Sequence[Daemon]:
    """Nova's services, but for its APIs."""
    with asking("Nova"):
        return [
            Daemon(
                binary=str(service.binary),
                host=str(service.host),
                up=service.state == "up",
                enabled=service.status == "enabled",
            )
            for service in connect(login, region).compute.services()
        ]


def network_agents(login: Login, region: str) -> Sequence[Daemon]:
    """Neutron's agents."""
    with asking("Neutron"):
        return [
            Daemon(
                binary=str(agent.binary),
                host=str(agent.host),
                up=bool(agent.is_alive),
                enabled=bool(agent.is_admin_state_up),
            )
            for agent in connect(login, region).network.agents()
        ]


def assignments(login: Login, region: str) -> frozenset[Assignment]:
    """Roles of users in projects."""
    with asking("Keystone"):
        keystone = connect(login, region).identity
        assert isinstance(keystone, Keystone)
        return frozenset(
            Assignment(each.user["name"], each.role["name"], each.scope["project"]["name"])
            for each in keystone.role_assignments(include_names=True)
            if each.user and "project" in each.scope
        )


def hypervisors(login: Login, region: str) -> Sequence[Hypervisor]:
    """Nova's hypervisors: those of compute nodes that are mapped to a cell."""
    with asking("Nova"):
        compute = connect(login, region).compute
        answer = compute.get("/os-hypervisors/detail", microversion=_BEFORE_PLACEMENT)
        raise_from_response(answer)
        found: list[dict[str, Any]] = answer.json()["hypervisors"]
    return [
        Hypervisor(
            host=each["hypervisor_hostname"],
            up=each["state"] == "up",
            enabled=each["status"] == "enabled",
            vcpus=each["vcpus"],
            memory=each["memory_mb"],
            disk=each["local_gb"],
            instances=each["running_vms"],
        )
        for each in found
    ]


def instance(login: Login, region: str, name: str) -> Instance:
    """The tenant's server of that name; MissingError if there is none."""
    with asking("Nova"):
        servers = list(connect(login, region).compute.servers(name=f"^{name}$"))
    if len(servers) != 1:
        raise (UnansweredError if servers else MissingError)(f"{len(servers)} servers of the name {name}")
    return described(servers[0])


def described(server: Server) -> Instance:
    """A server's state and IPv4 addresses."""
    ports = [port for ports in (server.addresses or {}).values() for port in ports]
    addresses = [port["addr"] for port in ports if port["version"] == 4]
    return Instance(
        status=str(server.status), addresses=tuple(addresses), fault=str((server.fault or {}).get("message", ""))
    )


class _Limits(HTTPAdapter):
    """Verify's limits in place of one for connection and answer alike."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, request: requests.PreparedRequest, *_: Any, stream: bool = False, **__: Any) -> requests.Response:
        """Send within the limits."""
        return super().send(request, stream=stream, timeout=(web.CONNECT_SECONDS, self._seconds or web.SECONDS))


def direct(seconds: float | None = None) -> requests.Session:
    """An HTTP session without proxies and credentials of the operator's own; each answer within `seconds`."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _Limits(seconds))
    return session


def brief(error: Exception) -> str:
    """Without the inner error that the text of a failed connection repeats at length."""
    return str(error).partition(": HTTPConnectionPool")[0]
