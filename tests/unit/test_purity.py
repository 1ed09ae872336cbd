"""Data and calculation stay apart from the engine."""

import ast
from pathlib import Path

import pytest

COMPONENTS = Path(__file__).resolve().parent.parent.parent / "components"
PURE = [
    *COMPONENTS.glob("services/*.py"),
    *COMPONENTS.glob("releases/*.py"),
    *(COMPONENTS / name for name in ("topology.py", "secrets.py", "config.py", "kvm/cloud_init.py")),
]


def imported(file: Path) -> set[str]:
    """Names of all modules that a file imports."""
    tree = ast.parse(file.read_text())
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("file", PURE, ids=lambda file: str(file.relative_to(COMPONENTS)))
def test_pure_modules_never_import_pulumi(file: Path) -> None:
    """Services, releases, topology, secrets and configuration are tested without an engine."""
    assert not [name for name in imported(file) if name.startswith("pulumi")]


def test_one_module_alone_speaks_to_machines() -> None:
    """Quoting, secrets and time limits have one place."""
    users = [file.name for file in COMPONENTS.rglob("*.py") if "pulumi_command" in imported(file)]
    assert users == ["remote.py"]
