"""The machines' clocks after they stood still: they show the time at which they stopped."""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from components.services import infrastructure
from components.topology import Node
from tools import stack_values
from tools.verify import nodes
from tools.verify.model import UnansweredError

_SECONDS = 60


def main(argv: Sequence[str]) -> int:
    """Set the clock of every machine by this one's; exit status 1 if one did not answer, or differs all the same."""
    parser = argparse.ArgumentParser(prog="python -m tools clocks")
    parser.add_argument("--stack", required=True)
    config = stack_values.complete(parser.parse_args(argv).stack)

    units = " ".join(config.site.packaging(infrastructure.TIME).units)
    agree = config.site.release.clock_agrees

    def set_clock(node: Node) -> str:
        # After a jump a daemon takes a minute to trust its source; a new one takes seconds.
        script = f"systemctl stop {units} && date --set=@{time.time():.1f} && systemctl start {units} && {agree}"
        try:
            nodes.run(node, script, config.secrets, seconds=_SECONDS)
        except UnansweredError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        errors = [error for error in pool.map(set_clock, config.site.topology.nodes) if error]
    for error in errors:
        print(error)
    return 1 if errors else 0
