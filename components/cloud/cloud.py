"""The third layer: everything inside the cloud.

Three provider instances, since the provider keeps user and catalog of its first authentication: `identity` works as
soon as Keystone answers; `cloud` and the user's own, `tenant`, wait until all endpoints exist and all services answer.
"""

import pulumi
import pulumi_openstack as openstack

from components.cloud.clients import ADMIN, DEMO, TENANT_KEY
from components.cloud.instance import Access, Instance
from components.cloud.network import ProviderNetwork
from components.cloud.provider import log_in
from components.cloud.tenant import PublicImage, Tenant
from components.config import Config
from components.control_plane.control_plane import ControlPlane


class Cloud(pulumi.ComponentResource):
    """Tenant, public image, provider network, flavor, and the tenant's instance if there is to be one."""

    instance: Instance | None = None

    def __init__(self, config: Config, control_plane: ControlPlane, opts: pulumi.ResourceOptions) -> None:
        """Fill the cloud once its services answer."""
        super().__init__("lab:cloud:Cloud", "cloud", None, opts)
        site, secrets, catalog = config.site, config.secrets, control_plane.catalog
        roles = {name: catalog.roles[name] for name in site.release.user_roles}
        tenant = Tenant(secrets, roles, pulumi.ResourceOptions(parent=self, provider=catalog.provider))
        everything = [resource for each in control_plane.services.values() for resource in each.everywhere()]
        complete = log_in(
            "cloud",
            ADMIN,
            site,
            secrets,
            pulumi.ResourceOptions(parent=self, depends_on=[*catalog.everywhere(), *everything]),
        )
        as_admin = pulumi.ResourceOptions(parent=self, provider=complete)
        image = PublicImage(config.tenant.image_name, config.hypervisor.image, as_admin)
        network = ProviderNetwork(site, config.tenant, as_admin)
        flavor = openstack.compute.Flavor(
            "flavor",
            name=config.tenant.flavor.name,
            vcpus=config.tenant.flavor.vcpus,
            ram=config.tenant.flavor.memory,
            disk=config.tenant.flavor.disk,
            is_public=True,
            opts=as_admin,
        )
        myuser = log_in(
            "tenant",
            DEMO,
            site,
            secrets,
            pulumi.ResourceOptions(parent=self, depends_on=[*catalog.everywhere(), *tenant.everywhere(), *everything]),
        )
        as_tenant = pulumi.ResourceOptions(parent=self, provider=myuser)
        access = Access(secrets.ssh_key(TENANT_KEY), as_tenant)
        if config.tenant.instance:
            self.instance = Instance(image.image, flavor, network, access, as_tenant)
        self.register_outputs({})
