"""Names that users give to what they keep of a lab."""

import re

from tools.steps import StepError

_ALLOWED = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}")


def allowed(name: str) -> bool:
    """Whether a snapshot or backup may have that name."""
    return bool(_ALLOWED.fullmatch(name))


def check(name: str) -> None:
    """StepError, saying what is allowed, if a snapshot or backup may not have that name."""
    if not allowed(name):
        raise StepError(
            f"NAME: {name!r} is not allowed; allowed: lower-case letters, digits, '.' and '-', 41 at most, "
            "the first a letter or digit"
        )
