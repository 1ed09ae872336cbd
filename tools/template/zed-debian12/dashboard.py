"""Collect and compress the dashboard's static files, as its package would when it is configured.

The package compresses in four threads, which fails now and then, since the SCSS compiler is not safe for threads.
"""

import concurrent.futures
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

MANAGE = "/usr/share/openstack-dashboard/manage.py"


def one_thread(**_: Any) -> ThreadPoolExecutor:
    """A pool with a single thread, whatever is asked for."""
    return ThreadPoolExecutor(max_workers=1)


def main() -> None:
    """Run both of the dashboard's commands."""
    setattr(concurrent.futures, "ThreadPoolExecutor", one_thread)
    for command in (["collectstatic", "--noinput", "--clear", "--verbosity", "0"], ["compress", "--force"]):
        sys.argv = [MANAGE, *command]
        runpy.run_path(MANAGE, run_name="__main__")


if __name__ == "__main__":
    main()
