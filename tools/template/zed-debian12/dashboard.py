"""Collect and compress the dashboard's static files, as its package would when it is configured.

The package compresses in four threads, which fails now and then, since the SCSS compiler is not safe for threads.
"""

import concurrent.futures
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

MANAGE = "/usr/share/openstack-dashboard/manage.py"


class OneThread(ThreadPoolExecutor):
    """A pool with a single thread, whatever is asked for."""

    def __init__(self, **_: Any) -> None:
        super().__init__(max_workers=1)


def main() -> None:
    """Run both of the dashboard's commands."""
    vars(concurrent.futures)["ThreadPoolExecutor"] = OneThread
    for command in (["collectstatic", "--noinput", "--clear", "--verbosity", "0"], ["compress", "--force"]):
        sys.argv = [MANAGE, *command]
        runpy.run_path(MANAGE, run_name="__main__")


if __name__ == "__main__":
    main()
