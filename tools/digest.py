"""What something is made from, as a short text that changes with it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def of(root: Path, parts: Iterable[str] = (".",)) -> str:
    """SHA-256 over names and contents of these files and trees below `root`, compiled Python aside."""
    digest = hashlib.sha256()
    for part in parts:
        path = root / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(root)} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()
