"""Option definitions of a release that no template is baked of: from its own wheels, in the running Python.

`RELEASE.toml` beside this file names them, each with its version, and the namespaces of every configuration file.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from tools.template import options

HERE = Path(__file__).parent


def read(release: str) -> dict[str, Any]:
    """The definitions, as the bake of a template writes them."""
    table = tomllib.loads((HERE / f"{release}.toml").read_text())
    with tempfile.TemporaryDirectory() as directory:
        environment = Path(directory)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        install = [environment / "bin/pip", "install", "--quiet", "--no-deps", *table["wheels"]]
        subprocess.run(install, check=True)
        (library,) = environment.glob("lib/python*/site-packages")
        # Not before, since pip asks what there is, too.
        shutil.copy(HERE / "sitecustomize.py", library)
        done = subprocess.run(
            [environment / "bin/python", options.__file__],
            input=json.dumps(table["options"]),
            env={**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
