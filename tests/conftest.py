"""Options shared by all tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are rewritten on demand, then reviewed as part of the change; a seed repeats a run of faults."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files from the present output")
    parser.addoption("--seed", help="repeat the run of faults that printed this seed")
