"""The built plugins hold what the published SDKs expect of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from tests.toolchain import plugins, sdk
from tools import toolchain


@dataclass(frozen=True)
class Plugin:
    """A running plugin."""

    package: str
    schema: Mapping[str, Any]
    stub: Any

    def shape(self, kind: Mapping[str, Any]) -> sdk.Shape:
        """The shape of a type in the schema."""
        if reference := kind.get("$ref"):
            if not reference.startswith("#/types/"):
                return {"Asset": "asset", "Archive": "asset", "Any": "any"}[reference.rpartition("/")[2]]
            named = self.schema["types"][reference.removeprefix("#/types/").replace("%2F", "/")]
            return self.shapes(named) if "properties" in named else named["type"]
        if kind["type"] == "array":
            return [self.shape(kind["items"])]
        if kind["type"] == "object":
            return {"*": self.shape(kind["additionalProperties"])}
        return kind["type"]

    def shapes(self, group: Mapping[str, Any], key: str = "properties") -> dict[str, sdk.Shape]:
        """The shapes of properties in the schema."""
        return {name: self.shape(kind) for name, kind in group.get(key, {}).items()}


@pytest.fixture(scope="module", params=["libvirt", "openstack", "command"])
def plugin(request: pytest.FixtureRequest) -> Iterator[Plugin]:
    """Each plugin in turn."""
    with plugins.running(toolchain.plugin(request.param)) as stub:
        answer = stub.GetSchema(provider_pb2.GetSchemaRequest())
        yield Plugin(f"pulumi_{request.param}", json.loads(answer.schema), stub)


# The libvirt plugin's upstream is 0.8.3, the SDK's was 0.8.1.
NEWER = {"private"}


def differences(published: sdk.Shape, built: sdk.Shape, path: str = "") -> list[str]:
    """Where two shapes differ."""
    if isinstance(published, dict) and isinstance(built, dict):
        return [
            difference
            for name in published.keys() | built.keys() - NEWER
            for difference in differences(published.get(name), built.get(name), f"{path}.{name}")
        ]
    if isinstance(published, list) and isinstance(built, list):
        return differences(published[0], built[0], f"{path}[]")
    return [] if published == built else [f"{path}: {published} in the SDK, {built} in the plugin"]


def test_plugin_and_sdk_have_the_same_resources(plugin: Plugin) -> None:
    assert plugin.schema["resources"].keys() == sdk.resources(plugin.package).keys()


def test_plugin_and_sdk_have_the_same_functions(plugin: Plugin) -> None:
    assert plugin.schema["functions"].keys() == sdk.functions(plugin.package).keys()


def test_every_resource_has_the_properties_that_the_sdk_sends_and_reads(plugin: Plugin) -> None:
    found = []
    for token, published in sdk.resources(plugin.package).items():
        built = plugin.schema["resources"][token]
        found += differences(published.inputs, plugin.shapes(built, "inputProperties"), f"{token} input")
        found += differences(published.outputs, plugin.shapes(built), f"{token} output")
    assert found == []


def test_every_function_has_the_properties_that_the_sdk_sends_and_reads(plugin: Plugin) -> None:
    found = []
    for token, published in sdk.functions(plugin.package).items():
        built = plugin.schema["functions"][token]
        found += differences(published.inputs, plugin.shapes(built.get("inputs", {})), f"{token} input")
        found += differences(published.outputs, plugin.shapes(built["outputs"]), f"{token} output")
    assert found == []


def test_plugin_and_sdk_require_the_same_inputs(plugin: Plugin) -> None:
    published = {token: entry.required for token, entry in sdk.resources(plugin.package).items()}
    built = {token: set(entry.get("requiredInputs", ())) for token, entry in plugin.schema["resources"].items()}
    assert built == published


def test_everything_that_the_sdk_keeps_secret_is_secret_in_the_plugin(plugin: Plugin) -> None:
    found = {}
    for token, entry in sdk.resources(plugin.package).items():
        properties = plugin.schema["resources"][token]["properties"]
        found[token] = {name for name in entry.secrets if not properties[name].get("secret")}
    assert {token: names for token, names in found.items() if names} == {}


def test_the_environment_configures_the_libvirt_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    request = provider_pb2.CheckRequest(
        urn="urn:pulumi:stack::project::pulumi:providers:libvirt::default", news=plugins.struct_pb2.Struct()
    )
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
    with plugins.running(toolchain.plugin("libvirt")) as stub:
        assert "libvirt:uri" in stub.CheckConfig(request).failures[0].reason
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu:///system")
    with plugins.running(toolchain.plugin("libvirt")) as stub:
        assert list(stub.CheckConfig(request).failures) == []


def test_a_resource_without_a_name_gets_one() -> None:
    with plugins.running(toolchain.plugin("libvirt")) as stub:
        urn = "urn:pulumi:stack::project::libvirt:index/network:Network::bridge"
        news = plugins.struct_pb2.Struct()
        news.update({"mode": "nat", "dhcp": {"enabled": False}})
        answer = stub.Check(provider_pb2.CheckRequest(urn=urn, news=news, randomSeed=b"0" * 32))
    assert list(answer.failures) == []
    assert answer.inputs["name"].startswith("bridge-")
    assert answer.inputs["dhcp"]["enabled"] is False


def test_a_property_of_the_wrong_type_is_told() -> None:
    with plugins.running(toolchain.plugin("libvirt")) as stub:
        urn = "urn:pulumi:stack::project::libvirt:index/network:Network::bridge"
        news = plugins.struct_pb2.Struct()
        news.update({"addresses": {"first": "172.16.0.0/16"}})
        answer = stub.Check(provider_pb2.CheckRequest(urn=urn, news=news, randomSeed=b"0" * 32))
    assert "addresses" in " ".join(f"{failure.property} {failure.reason}" for failure in answer.failures)
