"""Keystone as the tests play it: any password gets a token, whose catalog has every API at one server."""

from pathlib import Path

from tests.verify.servers import Answer, Web

PASSWORD = "not-to-be-seen-anywhere"

SERVICES = {"image": "glance", "compute": "nova", "network": "neutron", "placement": "placement"}


def openrc(directory: Path, url: str, name: str = "demo-openrc") -> Path:
    """A client environment file as the lab writes it."""
    file = directory / name
    file.write_text(
        "export OS_PROJECT_DOMAIN_NAME=Default\nexport OS_USER_DOMAIN_NAME=Default\n"
        f"export OS_PROJECT_NAME=myproject\nexport OS_USERNAME=myuser\nexport OS_PASSWORD={PASSWORD}\n"
        f"export OS_AUTH_URL={url}/v3\nexport OS_REGION_NAME=RegionOne\n"
    )
    return file


def token(site: Web) -> Answer:
    """The answer to a right password, with each service at /TYPE of the same server."""
    catalog = [
        {
            "type": kind,
            "name": name,
            "id": name,
            "endpoints": [
                {"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": f"{site.url}/{kind}"}
            ],
        }
        for kind, name in SERVICES.items()
    ]
    return Answer(
        201,
        {
            "token": {
                "methods": ["password"],
                "expires_at": "2099-01-01T00:00:00.000000Z",
                "issued_at": "2026-01-01T00:00:00.000000Z",
                "user": {"id": "u", "name": "myuser", "domain": {"id": "default", "name": "Default"}},
                "project": {"id": "p", "name": "myproject", "domain": {"id": "default", "name": "Default"}},
                "roles": [{"id": "r", "name": "myrole"}],
                "catalog": catalog,
            }
        },
        {"X-Subject-Token": "gAAAA-token"},
    )
