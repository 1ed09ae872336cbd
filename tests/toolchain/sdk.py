"""What a provider's published Python SDK says of it, in a form that a plugin's schema can be compared with.

A shape is "string", "boolean", "integer", "number", "asset" or "any"; [shape] for a list; {"*": shape} for a map; and
{name: shape, ...} for an object.
"""

import builtins
import collections.abc
import enum
import importlib
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pulumi
from pulumi import _types

Shape = Any

_RESOURCE = re.compile(r"super\((\w+), __self__\)\.__init__\(\s*'(\w+:[^']+)'")
_SECRETS = re.compile(r"additional_secret_outputs=(\[[^\]]*\])")
_FUNCTION = re.compile(
    r"^def (\w+)\((?:(?!^def ).)*?\.invoke\('([^']+)'(?:(?!^def ).)*?typ=(\w+)", re.MULTILINE | re.DOTALL
)
_PRIMITIVES = {str: "string", bool: "boolean", int: "integer", float: "number", object: "any"}


@dataclass(frozen=True)
class Entry:
    """A resource or a function."""

    inputs: Mapping[str, Shape]
    required: frozenset[str]
    outputs: Mapping[str, Shape]
    secrets: frozenset[str] = frozenset()


def resources(package: str) -> dict[str, Entry]:
    """The package's resources by token."""
    found = {}
    for module, text in _modules(package):
        for name, token in _RESOURCE.findall(text):
            arguments = getattr(module, module.__all__[0])
            signature = inspect.signature(arguments.__init__)
            names = _types.input_type_py_to_pulumi_names(arguments)
            resource = getattr(module, name)
            outputs = _types.resource_types(resource)
            secrets = _SECRETS.search(text)
            found[token] = Entry(
                {key: shape(kind) for key, kind in _types.input_type_types(arguments).items()},
                frozenset(names[key] for key in list(signature.parameters)[1:] if _is_required(signature, key)),
                {key: shape(kind) for key, kind in outputs.items()},
                frozenset(re.findall(r'"(\w+)"', secrets[1]) if secrets else ()),
            )
    return found


def functions(package: str) -> dict[str, Entry]:
    """The package's functions by token."""
    found = {}
    for module, text in _modules(package):
        for name, token, result in _FUNCTION.findall(text):
            function = getattr(module, name)
            signature = inspect.signature(function)
            hints = typing.get_type_hints(function)
            names = dict(re.findall(r"__args__\['(\w+)'\] = (\w+)", text))
            outputs = _types.output_type_types(getattr(module, result))
            found[token] = Entry(
                {key: shape(hints[name]) for key, name in names.items()},
                frozenset(key for key, name in names.items() if _is_required(signature, name)),
                {key: shape(kind) for key, kind in outputs.items()},
            )
    return found


def shape(kind: Any) -> Shape:
    """The shape of a Python type."""
    kind = _plain(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (collections.abc.Sequence, builtins.list):
        return [shape(arguments[0])]
    if origin in (collections.abc.Mapping, builtins.dict):
        return {"*": shape(arguments[1])}
    if kind in (pulumi.Asset, pulumi.Archive):
        return "asset"
    if kind is Any:
        return "any"
    if issubclass(kind, enum.Enum):
        return "string"
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind]
    types = _types.input_type_types(kind) if _types.is_input_type(kind) else _types.output_type_types(kind)
    return {name: shape(nested) for name, nested in types.items()}


def _plain(kind: Any) -> Any:
    """Without Optional, Input and Output."""
    while typing.get_origin(kind) is typing.Union:
        choices = [choice for choice in typing.get_args(kind) if choice is not type(None)]
        kind = next((choice for choice in choices if _types.is_input_type(choice)), choices[0])
    return kind


def _is_required(signature: inspect.Signature, name: str) -> bool:
    return signature.parameters[name].default is inspect.Parameter.empty


def _modules(package: str) -> Iterator[tuple[ModuleType, str]]:
    """The modules of a package with their text."""
    root = Path(str(importlib.import_module(package).__file__)).parent
    for file in sorted(root.rglob("*.py")):
        if file.stem.startswith("_") or file.stem in ("outputs", "provider", "vars"):
            continue
        name = ".".join((package, *file.relative_to(root).with_suffix("").parts))
        yield importlib.import_module(name), file.read_text()
