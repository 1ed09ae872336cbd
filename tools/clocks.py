"""The machines' clocks after they stood still: they show the time at which they stopped."""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from components.topology import Node
from tools import stack_values
from tools.verify import nodes
from tools.verify.model import UnansweredError

_SECONDS = 60


def main(argv: Sequence[str]) -> int:
    """Set the clock of every machine by this one's; chrony does the rest. Exit status 1 if one did not answer."""
    parser = argparse.ArgumentParser(prog="python -m tools clocks")
    parser.add_argument("--stack", required=True)
    config = stack_values.complete(parser.parse_args(argv).stack)

    def set_clock(node: Node) -> str:
        try:
            nodes.run(node, f"date --set=@{time.time():.1f}", config.secrets, seconds=_SECONDS)
        except UnansweredError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        errors = [error for error in pool.map(set_clock, config.site.topology.nodes) if error]
    for error in errors:
        print(error)
    return 1 if errors else 0
