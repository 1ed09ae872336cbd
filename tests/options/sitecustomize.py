"""Read by a Python that shall import old modules for their option definitions: what is not there has a stand-in.

A stand-in can be called, subclassed, subscripted and used as a decorator, and nothing ever comes of it.
Standard library only; `tests.options.wheels` copies it into its virtual environment.
"""

import collections
import collections.abc
import importlib
import importlib.abc
import importlib.machinery
import inspect
import sys
import types
from typing import Any

LEFT_OUT = {
    "eventlet": (),
    "neutron.agent.agent_extensions_manager": (),
    "neutron.agent.linux.external_process": (),
    "neutron.agent.linux.ip_lib": (),
    "neutron.agent.linux.utils": (),
    "neutron.agent.securitygroups_rpc": ("neutron.conf.agent.securitygroups_rpc",),
    "neutron.api": (),
    "neutron.common.cache_utils": (),
    "neutron.db": (),
    "neutron.extensions": (),
    "neutron.wsgi": (),
    "neutron_lib.db": (),
}
"""What has no definitions of its own and would bring half of OpenStack in -> modules that it imports for others."""


class _Meta(type):
    def __call__(cls, /, *arguments: Any, **options: Any) -> Any:
        if cls is not StandIn:
            return super().__call__(*arguments, **options)
        return arguments[0] if len(arguments) == 1 and callable(arguments[0]) and not options else StandIn

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn

    def __getitem__(cls, _key: Any) -> Any:
        return StandIn

    def __iter__(cls) -> Any:
        return iter(())

    def __or__(cls, _other: Any) -> Any:
        return StandIn


class StandIn(Exception, metaclass=_Meta):  # noqa: N818, an exception, since some are caught
    """Whatever is asked for."""

    __globals__: dict[str, Any] = {}  # noqa: RUF012, oslo.concurrency mends a function of eventlet's

    def __new__(cls, *_arguments: Any, **_options: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        super().__init__()


class _Module(types.ModuleType):
    __path__: list[str] = []  # noqa: RUF012
    __version__ = "1.0.0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn


class _Loader(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        for name in LEFT_OUT.get(module.__name__, ()):
            importlib.import_module(name)


class _LeftOut(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, _path: Any, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        left_out = any(name == each or name.startswith(f"{each}.") for each in LEFT_OUT)
        return importlib.machinery.ModuleSpec(name, _Loader(), is_package=True) if left_out else None


class _Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, _path: Any, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        top, _, below = name.partition(".")
        if top in sys.stdlib_module_names or (below and not isinstance(sys.modules.get(top), _Module)):
            return None
        return importlib.machinery.ModuleSpec(name, _Loader(), is_package=True)


# What Python had when these modules were written.
for _name in collections.abc.__all__:
    setattr(collections, _name, getattr(collections.abc, _name))
vars(inspect)["getargspec"] = inspect.getfullargspec

sys.meta_path.insert(0, _LeftOut())
sys.meta_path.append(_Missing())
