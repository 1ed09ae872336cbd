"""`python -m tools VERB`: what the Makefile's targets run."""

import sys

from tools import steps
from tools.cli import main

try:
    sys.exit(main(sys.argv[1:]))
except steps.StepError as error:
    steps.report(error)
    sys.exit(1)
except KeyboardInterrupt:
    sys.exit(130)
