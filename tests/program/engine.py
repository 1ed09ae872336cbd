"""The program run against a recording engine: every registration as the program asked for it, nothing executed."""

import asyncio
import functools
import json
import runpy
from dataclasses import dataclass
from typing import Any
from unittest import mock

from google.protobuf import json_format  # type: ignore[import-untyped]
from pulumi.runtime import config as engine_config
from pulumi.runtime import mocks, settings
from pulumi.runtime.stack import run_pulumi_func

from components import config
from tests import stacks

_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_SIGNATURE = "4dabf18193072939515e22adb298388d"


@dataclass(frozen=True)
class Resource:
    """One registration. Inputs have the engine's camelCase names; secret ones are listed by name."""

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    secret: frozenset[str]
    request: Any

    @property
    def dependencies(self) -> set[str]:
        """Names of what it waits for."""
        return {urn.rpartition("::")[2] for urn in self.request.dependencies}

    @property
    def replaced_with(self) -> set[str]:
        """Names of what it is replaced with."""
        return {urn.rpartition("::")[2] for urn in self.request.replace_with}

    @property
    def parent(self) -> str:
        """The parent's name."""
        return str(self.request.parent).rpartition("::")[2]


class _Recorder(mocks.MockMonitor):
    def __init__(self, answers: mocks.Mocks) -> None:
        super().__init__(answers)
        self.recorded: list[Resource] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802, the engine's own name
        inputs = json_format.MessageToDict(request.object)
        secret = {
            name for name, value in inputs.items() if isinstance(value, dict) and value.get(_SIGNATURE) == _SECRET
        }
        plain = {name: _plain(value) for name, value in inputs.items()}
        urn = self.make_urn(request.parent, request.type, request.name)
        self.recorded.append(Resource(urn, request.type, request.name, plain, frozenset(secret), request))
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            inner = value["value"]
            return json.loads(inner) if isinstance(inner, str) and inner[:1] in '"{[' else _plain(inner)
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


class _Answers(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return f"{args.name}-id", {**args.inputs, "stdout": "first\nsecond\nthird"}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"nothing is looked up, but {args.token} was")


@functools.cache
def run(stack: str, changes: str = "{}") -> dict[str, Resource]:
    """The program's resources by `type name`; `changes` is JSON laid over the stack's values."""
    values = stacks.values(stack) | json.loads(changes)
    texts = {
        f"{config.PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
    }
    settings.reset_options()
    asyncio.set_event_loop(asyncio.new_event_loop())
    recorder = _Recorder(_Answers())
    mocks.set_mocks(_Answers(), config.PROJECT, stack, preview=False, monitor=recorder)
    engine_config.set_all_config(texts)
    with mock.patch.object(config, "host_facts", stacks.facts):

        async def program() -> None:
            runpy.run_path(str(stacks.CHECKOUT / "__main__.py"))

        asyncio.get_event_loop().run_until_complete(run_pulumi_func(program))
    settings.reset_options()
    return {f"{each.type} {each.name}": each for each in recorder.recorded}


def commands(resources: dict[str, Resource]) -> dict[str, Resource]:
    """All commands on machines, by name."""
    return {each.name: each for each in resources.values() if each.type == "command:remote:Command"}
