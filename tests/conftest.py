"""Options shared by all tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are rewritten on demand, then reviewed as part of the change."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files from the present output")
