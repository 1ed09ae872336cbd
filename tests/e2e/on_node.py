"""Run inside a lab's shell: `on_node STACK NODE SCRIPT` runs a script on a node; `on_node STACK` prints the secrets."""

import json
import sys

from tools import known_secrets, stack_values
from tools.verify import nodes


def main() -> None:
    """Print a script's output, or all secrets as a JSON list."""
    stack, *words = sys.argv[1:]
    config = stack_values.complete(stack)
    if not words:
        print(json.dumps(sorted(known_secrets.values(config))))
        return
    name, script = words
    node = next(node for node in config.site.topology.nodes if node.name == name)
    print(nodes.run(node, script, config.secrets, seconds=120), end="")


if __name__ == "__main__":
    main()
