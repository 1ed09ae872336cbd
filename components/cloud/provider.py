"""The OpenStack provider, logged in as one of the lab's clients.

It keeps the catalog of its first authentication: an instance that is to find a service comes after its endpoints.
"""

import pulumi
import pulumi_openstack as openstack

from components.cloud.clients import Client
from components.secrets import Secrets
from components.services import keystone
from components.services.model import Site


def log_in(name: str, client: Client, site: Site, secrets: Secrets, opts: pulumi.ResourceOptions) -> openstack.Provider:
    """A provider instance; through the virtual address itself, since its name is known inside `make shell` only."""
    return openstack.Provider(
        name,
        auth_url=f"http://{site.topology.vip}:{keystone.PORT}/v3",
        region=site.region,
        user_name=client.username,
        password=pulumi.Output.secret(secrets.value(client.password_name)),
        tenant_name=client.project,
        user_domain_name="Default",
        project_domain_name="Default",
        opts=opts,
    )
