"""`make rotate`: another master secret, or another value of one password. The next update carries it everywhere."""

import secrets
from dataclasses import replace
from pathlib import Path

from components.config import password_names
from tools import stack, stack_values
from tools.steps import StepError


def change(stack_name: str, draft: Path, secret_name: str = "") -> None:
    """Draw the secret anew in a copy of the stack's file; no name means all: the master secret, and each override.

    What only the operator's own options name stays as it is: somebody else knows it, such as an LDAP server.
    StepError, with nothing changed, for a name that is none, or where no password follows from the master secret.
    """
    config = stack_values.complete(stack_name)
    allowed = sorted(password_names(replace(config.site, options={})))
    if secret_name:
        if secret_name not in allowed:
            raise StepError(
                f"NAME: {secret_name!r} is no password of stack {stack_name}; allowed: {', '.join(allowed)}"
            )
        _override(stack_name, draft, secret_name)
        return
    if config.secrets.guide:
        raise StepError(
            f"stack {stack_name} has the guide's passwords, which follow from no secret",
            f"pulumi config set -s {stack_name} openstack-lab:passwords derived, then make up; or NAME=…",
        )
    if not config.secrets.machine:
        stack.set_secret(stack_name, draft, "machineSecret", config.secrets.master)
    stack.set_secret(stack_name, draft, "masterSecret", secrets.token_urlsafe(32))
    for name in (name for name in config.secrets.overrides if name in allowed):
        _override(stack_name, draft, name)


def _override(stack_name: str, draft: Path, secret_name: str) -> None:
    stack.set_secret(stack_name, draft, f"passwordOverrides.{secret_name}", secrets.token_urlsafe(18))
