"""First half of set-up, run with the system's Python: host packages and the virtual environment.

python3 tools/bootstrap.py [--dev]
"""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  (this is where an older one is told so)
    sys.exit(f"error: Python {sys.version.split()[0]} is too old\nremedy: run with Python 3.11 or newer")

# The checkout in place of this directory, whose modules would hide some of the standard library.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import host_packages, paths, steps, venv  # noqa: E402  (the path is set first)


def main() -> int:
    """Run both steps; 1 if one fails."""
    development = "--dev" in sys.argv[1:]
    try:
        host_packages.ensure(development=development)
        venv.ensure(development=development)
    except steps.StepError as error:
        steps.report(error)
        return 1
    except KeyboardInterrupt:
        return 130
    steps.hand_over(paths.TIMINGS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
