"""Run inside a lab's shell: `leaks STACK` looks for files that hold a secret and that anybody on their node may read.

Prints JSON: by node, how many files were read, and which ones hold a secret.
"""

import json
import sys

from tools import known_secrets, stack_values
from tools.verify import nodes

FOUND = "/tmp/readable-by-all"
"""Made to be found."""

SCRIPT = f"""
umask 077
patterns=$(mktemp)
cat >"$patterns"
echo lies-about-for-all >>"$patterns"
echo lies-about-for-all >{FOUND}
chmod 0644 {FOUND}
find $(findmnt --noheadings --raw --output TARGET --types ext4,tmpfs) -xdev -type f -perm -o=r -size -4M \\
  -newer /etc/machine-id -print0 | sort --zero-terminated --unique >"$patterns.files"
tr -dc '\\0' <"$patterns.files" | wc -c
xargs -0 -r -a "$patterns.files" grep -l -F -f "$patterns" || true
rm "$patterns" "$patterns.files" {FOUND}
"""
"""Reads what is newer than the machine itself."""


def main() -> None:
    """Look on every node."""
    config = stack_values.complete(sys.argv[1])
    patterns = "\n".join(sorted(known_secrets.values(config))).encode() + b"\n"
    found = {}
    for node in config.site.topology.nodes:
        said = nodes.fetch(node, SCRIPT, config.secrets, seconds=600, stdin=patterns).decode()
        count, *files = said.splitlines()
        found[node.name] = {"read": int(count), "hold": files}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
