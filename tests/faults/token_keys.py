"""Run inside a lab's shell: `token_keys STACK` has weeks go by for Keystone's token keys, and comes back to today.

Prints JSON: `next`, when the timer is due, and `answers`, the statuses with which Keystone answers about one token: in
its own week, one and two weeks later, and with the keys that the timer's unit writes today.
"""

import json
import sys

from components.cloud.clients import ADMIN
from components.services import keystone
from components.topology import Role
from tools import paths, stack_values
from tools.verify import cloud, nodes

UNIT = "keystone-token-keys"
LATER = (
    "runuser --user keystone -- /usr/local/sbin/keystone-token-keys /etc/keystone/token-seed"
    " /etc/keystone/fernet-keys $(($(date +%s) + {weeks} * 7 * 24 * 3600))"
)
TODAY = f"systemctl start {UNIT}.service"
FORGET = "exec 3<>/dev/tcp/{address}/11211; echo flush_all >&3; read -r reply <&3"
"""Keystone remembers whom it has answered for a token."""
NEXT = f"systemctl show --property NextElapseUSecRealtime --value {UNIT}.timer"


def main() -> None:
    """Print what Keystone says of a token week by week."""
    stack = sys.argv[1]
    config = stack_values.complete(stack)
    controller = config.site.topology.having(Role.CONTROLLER)[0]
    assert keystone.KEYSTONE.endpoint
    url = f"{config.site.url(keystone.KEYSTONE.endpoint)}auth/tokens"
    token = cloud.login(paths.CLIENTS / stack / ADMIN.file).session.get_token() or ""
    session = cloud.direct()
    session.headers.update({"X-Auth-Token": token, "X-Subject-Token": token})

    def on_controller(script: str) -> str:
        return nodes.run(controller, script, config.secrets, seconds=120)

    answers = [session.get(url).status_code]
    for script in (LATER.format(weeks=1), LATER.format(weeks=2), TODAY):
        on_controller(f"set -e; {script}; {FORGET.format(address=controller.address)}")
        answers.append(session.get(url).status_code)
    print(json.dumps({"next": on_controller(NEXT).strip(), "answers": answers}))


if __name__ == "__main__":
    main()
