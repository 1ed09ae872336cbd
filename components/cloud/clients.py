"""Client environment files, as the guide writes them (4.7.1)."""

from dataclasses import dataclass
from pathlib import Path

import pulumi

from components import remote
from components.secrets import Secrets
from components.services import keystone
from components.services.model import Site


@dataclass(frozen=True, slots=True)
class Client:
    """A user of the cloud and the project it works in, both in the domain Default."""

    file: str
    username: str
    project: str

    @property
    def password_name(self) -> str:
        """Name of its password among the lab's secrets."""
        return f"{self.username}_identity_password"


TENANT_KEY = "tenant"
"""Name of the key pair, among the lab's secrets, that opens the tenant's instances."""

KEY_FILE = "demo-key"

ADMIN = Client("admin-openrc", "admin", "admin")
DEMO = Client("demo-openrc", "myuser", "myproject")


def variables(client: Client, site: Site, secrets: Secrets) -> dict[str, str]:
    """The environment that OpenStack's clients read; holds the password in clear."""
    return {
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_NAME": client.project,
        "OS_USERNAME": client.username,
        "OS_PASSWORD": secrets.value(client.password_name),
        "OS_AUTH_URL": f"http://{site.vip_name}:{keystone.PORT}/v3",
        "OS_REGION_NAME": site.region,
        "OS_IDENTITY_API_VERSION": "3",
        "OS_IMAGE_API_VERSION": "2",
    }


def render(client: Client, site: Site, secrets: Secrets) -> str:
    """The same as a file for `source`; mode 0600."""
    return "".join(f"export {name}={value}\n" for name, value in variables(client, site, secrets).items())


class ClientFiles(pulumi.ComponentResource):
    """`admin-openrc`, `demo-openrc` and the tenant's private key `demo-key` on the operator's machine.

    `paths` by file name.
    """

    paths: dict[str, Path]

    def __init__(self, site: Site, secrets: Secrets, directory: Path) -> None:
        """Write the files into `directory`."""
        super().__init__("lab:cloud:ClientFiles", "clients")
        texts = {client.file: render(client, site, secrets) for client in (ADMIN, DEMO)}
        texts[KEY_FILE] = secrets.ssh_key(TENANT_KEY).private
        self.paths = {name: directory / name for name in texts}
        for name, text in texts.items():
            remote.local_secret_file(name, self.paths[name], text, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})
