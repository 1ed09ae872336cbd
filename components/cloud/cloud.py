"""The third layer: everything inside the cloud.

Two provider instances, since the provider keeps the catalog of its first authentication: `identity` works as soon as
Keystone answers, `cloud` waits until every endpoint exists and every service answers.
"""

import pulumi
import pulumi_openstack as openstack

from components.cloud.clients import ADMIN
from components.cloud.identity import Identity
from components.cloud.tenant import PublicImage, Tenant
from components.config import Config
from components.control_plane.control_plane import ControlPlane
from components.services import keystone


class Cloud(pulumi.ComponentResource):
    """Identity, tenant and public image."""

    def __init__(self, config: Config, control_plane: ControlPlane, opts: pulumi.ResourceOptions) -> None:
        """Fill the cloud once its services answer."""
        super().__init__("lab:cloud:Cloud", "cloud", None, opts)
        site, secrets = config.site, config.secrets
        services = control_plane.services
        self._auth_url = f"http://{site.topology.vip}:{keystone.PORT}/v3"
        self._region = site.region
        password = secrets.value(ADMIN.password_name)

        at_keystone = self._openstack("identity", password, services["keystone"].everywhere())
        bootstrapped = pulumi.ResourceOptions(parent=self, provider=at_keystone)
        identity = Identity(site, secrets, services["keystone"].outputs["bootstrap"], bootstrapped)
        Tenant(secrets, bootstrapped)

        everything = [resource for service in services.values() for resource in service.everywhere()]
        complete = self._openstack("cloud", password, [*identity.endpoints, *everything])
        PublicImage(config.image_name, config.hypervisor.image, pulumi.ResourceOptions(parent=self, provider=complete))
        self.register_outputs({})

    def _openstack(self, name: str, password: str, after: list[pulumi.Resource]) -> openstack.Provider:
        return openstack.Provider(
            name,
            auth_url=self._auth_url,
            region=self._region,
            user_name=ADMIN.username,
            password=pulumi.Output.secret(password),
            tenant_name=ADMIN.project,
            user_domain_name="Default",
            project_domain_name="Default",
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
