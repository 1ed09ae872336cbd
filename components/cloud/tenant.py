"""The guide's first tenant: domain, project, user, role, and the public image (guide 4.7.1 and 4.7.2)."""

from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_openstack as openstack

from components.secrets import Secrets


class Tenant(pulumi.ComponentResource):
    """Domain `example`; project `myproject` with user `myuser` in role `myrole` and what the release needs besides."""

    def __init__(self, secrets: Secrets, roles: Mapping[str, pulumi.Input[str]], opts: pulumi.ResourceOptions) -> None:
        """Make the tenant; passwords from `secrets`. `roles` are further ones of the user, name -> identifier."""
        super().__init__("lab:cloud:Tenant", "tenant", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        openstack.identity.Project(
            "example", name="example", description="An Example Domain", is_domain=True, opts=child
        )
        project = openstack.identity.Project(
            "myproject", name="myproject", description="Demo Project", domain_id="default", opts=child
        )
        user = openstack.identity.User(
            "myuser",
            name="myuser",
            domain_id="default",
            default_project_id=project.id,
            password=pulumi.Output.secret(secrets.value("myuser_identity_password")),
            opts=child,
        )
        role = openstack.identity.Role("myrole", name="myrole", opts=child)
        self.assignments = [
            openstack.identity.RoleAssignment(
                f"myuser-{name}", user_id=user.id, project_id=project.id, role_id=identifier, opts=child
            )
            for name, identifier in {"myrole": role.id, **roles}.items()
        ]
        self.register_outputs({})

    def everywhere(self) -> list[pulumi.Resource]:
        """What has to be there before the user can log in to the project."""
        return [*self.assignments]


class PublicImage(pulumi.ComponentResource):
    """The image that everyone may boot."""

    image: openstack.images.Image

    def __init__(self, name: str, file: Path, opts: pulumi.ResourceOptions) -> None:
        """Upload `file` (qcow2) as `name`."""
        super().__init__("lab:cloud:PublicImage", "image", None, opts)
        self.image = openstack.images.Image(
            "image",
            name=name,
            local_file_path=str(file),
            container_format="bare",
            disk_format="qcow2",
            visibility="public",
            opts=pulumi.ResourceOptions(parent=self, replace_on_changes=["*"]),
        )
        self.register_outputs({})
