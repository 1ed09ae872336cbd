"""Users, services and endpoints of the catalogue in Keystone (guide 4.7.1 and 4.7.2)."""

from functools import partial

import pulumi
import pulumi_openstack as openstack

from components.cloud.clients import ADMIN
from components.cloud.provider import log_in
from components.control_plane.service import ServiceOnNodes
from components.secrets import Secrets
from components.services.keystone import ADMIN_ROLE, own_roles, role_step
from components.services.model import INTERFACES, Service, Site


class Catalog(pulumi.ComponentResource):
    """The project `service` and, for each service of the catalogue, its user, roles and endpoints.

    `provider` knows Keystone alone; `roles` are the identifiers of Keystone's own roles, by name.
    """

    provider: openstack.Provider
    roles: dict[str, pulumi.Output[str]]

    def __init__(self, site: Site, secrets: Secrets, keystone: ServiceOnNodes, opts: pulumi.ResourceOptions) -> None:
        """Fill Keystone, once it answers and its bootstrap has told the roles' identifiers."""
        super().__init__("lab:openstack:Catalog", "catalog", None, opts)
        self.site = site
        self._made: list[pulumi.Resource] = []
        self.roles = {
            name: keystone.outputs["bootstrap"].apply(partial(_line, index))
            for index, name in enumerate(own_roles(site.release))
        }
        self.provider = log_in(
            "identity",
            ADMIN,
            site,
            secrets,
            pulumi.ResourceOptions(parent=self, depends_on=keystone.everywhere()),
        )
        self.project = openstack.identity.Project(
            "service", name="service", description="Service Project", domain_id="default", opts=self._child()
        )
        for service in site.catalogue:
            if service.has_user:
                self._user(service, secrets.value(f"{service.name}_identity_password"))
            if service.endpoint and service.endpoint.type != "identity":
                self._endpoints(service)
        self.register_outputs({})

    def awaited_by(self, _node: str) -> list[pulumi.Resource]:
        """What a service waits for that looks others up or checks tokens: all users and endpoints."""
        return self.everywhere()

    def everywhere(self) -> list[pulumi.Resource]:
        """All roles and endpoints."""
        return self._made

    def _child(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, provider=self.provider)

    def _user(self, service: Service, password: str) -> None:
        user = openstack.identity.User(
            f"{service.name}-user",
            name=service.name,
            domain_id="default",
            default_project_id=self.project.id,
            password=pulumi.Output.secret(password),
            opts=self._child(),
        )
        self._made += [
            openstack.identity.RoleAssignment(
                role_step(service, role),
                user_id=user.id,
                project_id=self.project.id,
                role_id=self.roles[role],
                opts=self._child(),
            )
            for role in (ADMIN_ROLE, *self.site.release.service_roles)
        ]

    def _endpoints(self, service: Service) -> None:
        endpoint = service.endpoint
        assert endpoint is not None
        entity = openstack.identity.ServiceV3(
            f"{service.name}-service",
            name=service.name,
            type=endpoint.type,
            description=endpoint.description,
            opts=self._child(),
        )
        self._made += [
            openstack.identity.EndpointV3(
                f"{service.name}-{interface}",
                name=f"{service.name}-{interface}",
                service_id=entity.id,
                interface=interface,
                endpoint_region=self.site.region,
                url=self.site.url(endpoint),
                opts=self._child(),
            )
            for interface in INTERFACES
        ]


def _line(index: int, text: str) -> str:
    return text.splitlines()[index]
