"""`python3 -m tools.hypervisor COMMAND`: run a command where the lab is known; starts nothing but libvirt."""

import os
import subprocess
import sys

from tools import steps
from tools.hypervisor import ensure

try:
    host = ensure()
except steps.StepError as error:
    steps.report(error)
    sys.exit(1)
environment = {**os.environ, "LIBVIRT_DEFAULT_URI": host.uri}
sys.exit(subprocess.run(host.command(sys.argv[1:]), env=environment, check=False).returncode)
