"""Findings as a table."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.verify.model import Row

_UNATTENDED_WIDTH = 160
"""Columns where the output goes to a file or pipe."""


def show(rows: Sequence[Row], seconds: float) -> None:
    """Print a line for each row, a failing one with what to look at, and the sum."""
    table = Table("check", "subject", "", "detail")
    previous = ""
    for row in rows:
        mark = Text("ok", "green") if row.ok else Text("WRONG", "bold red")
        detail = Text(row.detail)
        if row.hint:
            detail.append(f"\nlook: {row.hint}", "yellow")
        table.add_row(row.check if row.check != previous else "", row.subject, mark, detail)
        previous = row.check
    screen = console()
    screen.print(table)
    right = sum(row.ok for row in rows)
    wrong = len(rows) - right
    screen.print(f"{right} right, {wrong} wrong in {seconds:.1f} s", style="bold red" if wrong else "bold green")


def console() -> Console:
    """Standard output; wide enough for a table where it is no terminal."""
    screen = Console(highlight=False)
    if not screen.is_terminal:
        screen.width = _UNATTENDED_WIDTH
    return screen
