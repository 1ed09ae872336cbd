"""Run inside a lab's shell: `load STACK COUNT` lists and makes that many of each kind through the VIP, side by side.

Prints JSON: requests, errors that clients saw by their texts, and what was made by the APIs' word and is not there.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException, raise_from_response

from components.cloud.clients import ADMIN
from components.cloud.network import NAME as NETWORK
from tools import paths, stack_values
from tools.verify import cloud
from tools.verify.model import UnansweredError

AT_ONCE = 8
PREFIX = "load-"


def main() -> None:
    """Do all of it, and delete what was made."""
    stack, count = sys.argv[1], int(sys.argv[2])
    region = stack_values.complete(stack).site.region
    client = paths.CLIENTS / stack / ADMIN.file
    admin = cloud.connect(cloud.login(client), region)
    network = admin.network.find_network(NETWORK, ignore_missing=False)
    errors: Counter[str] = Counter()
    made: dict[str, list[str]] = {"images": [], "ports": []}

    def attempt(work: Callable[[int], object], number: int) -> None:
        try:
            work(number)
        except (SDKException, ClientException, UnansweredError) as error:
            errors[f"{work.__name__}: {' '.join(str(error).split())[:120]}"] += 1

    def token(_: int) -> None:
        cloud.login(client)

    def list_images(_: int) -> None:
        list(admin.image.images())

    def list_ports(_: int) -> None:
        list(admin.network.ports())

    def make_image(number: int) -> None:
        answer = admin.image.post("/images", json={"name": f"{PREFIX}{number}"})
        raise_from_response(answer)
        made["images"].append(answer.json()["id"])

    def make_port(number: int) -> None:
        made["ports"].append(admin.network.create_port(name=f"{PREFIX}{number}", network_id=network.id).id)

    kinds = (token, list_images, make_image, list_ports, make_port)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(count):
            for kind in kinds:
                pool.submit(attempt, kind, number)
    lost = remove(admin, made)
    print(json.dumps({"requests": count * len(kinds), "errors": errors, "made": made, "lost": lost}))


def remove(admin: Connection, made: dict[str, list[str]]) -> list[str]:
    """Delete what has the prefix; returns identifiers of what was made and is not there."""
    images = {image.id: image for image in admin.image.images() if (image.name or "").startswith(PREFIX)}
    ports = {port.id: port for port in admin.network.ports() if (port.name or "").startswith(PREFIX)}
    for image in images.values():
        admin.image.delete_image(image.id)
    for port in ports.values():
        admin.network.delete_port(port)
    return [each for kind, there in (("images", images), ("ports", ports)) for each in made[kind] if each not in there]


if __name__ == "__main__":
    main()
