"""Run inside a lab's shell: `on_node STACK NODE SCRIPT` runs a script on a node; `on_node STACK` prints the secrets."""

import json
import sys

from components import remote
from tools import stack_values
from tools.verify import ssh


def main() -> None:
    """Print a script's output, or all secrets as a JSON list."""
    stack, *words = sys.argv[1:]
    config = stack_values.complete(stack)
    secrets, site = config.secrets, config.site
    if words:
        name, script = words
        node = next(node for node in site.topology.nodes if node.name == name)
        login, host = remote.login_key_pair(secrets), remote.host_key_pair(node, secrets)
        print(ssh.run(str(node.address), script, login=login, host=host, seconds=120), end="")
        return
    texts = [
        text
        for service in site.catalogue
        for node in service.nodes(site.topology)
        for text in (
            *(file.text for file in site.files(service, node)),
            *(task.script(site, node) for task in service.tasks),
        )
    ]
    values = {*secrets.values(texts).values(), secrets.master, secrets.value("myuser_identity_password")}
    keys = [remote.login_key_pair(secrets), *(remote.host_key_pair(node, secrets) for node in site.topology.nodes)]
    values |= {line for key in keys for line in key.private.splitlines()[1:-1]}
    print(json.dumps(sorted(values)))


if __name__ == "__main__":
    main()
