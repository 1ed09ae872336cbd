"""Where an update's time went, by the engine's event log and the dependencies that its state holds. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.steps import Timing

SLOWEST = 8
"""How many resources the table of times names beside the critical path."""

_LAYERS = {"kvm": "KVM", "openstack": "services", "cloud": "cloud"}
"""Second part of a component's type, such as lab:kvm:Machine -> name of the layer."""

Needs = Mapping[str, Collection[str]]
"""URN -> URNs of what the resource had to wait for."""


@dataclass(frozen=True, slots=True)
class Span:
    """What was done to a resource, and the seconds, since 1970, of its start and end."""

    operation: str
    start: int
    end: int

    @property
    def seconds(self) -> int:
        """How long it took."""
        return self.end - self.start


Spans = Mapping[str, Span]
"""By URN."""


def spans(events: Iterable[Mapping[str, Any]]) -> dict[str, Span]:
    """What an event log tells of each resource that was changed; of one that was replaced, what took longest."""
    begun: dict[str, int] = {}
    found: dict[str, Span] = {}
    for event in events:
        if metadata := event.get("resourcePreEvent", {}).get("metadata"):
            begun[metadata["urn"]] = event["timestamp"]
        metadata = (event.get("resOutputsEvent") or event.get("resOpFailedEvent") or {}).get("metadata")
        if not metadata or metadata["op"] == "same" or metadata["urn"] not in begun:
            continue
        urn = metadata["urn"]
        if _kinds(urn)[-1].startswith(("lab:", "pulumi:")):
            continue  # a component, the stack or a provider: what takes time are the resources in it
        span = Span(metadata["op"], begun[urn], event["timestamp"])
        found[urn] = max(found.get(urn, span), span, key=lambda each: each.seconds)
    return found


def needs(resources: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """What each resource of a state depends on, its provider included."""
    return {
        resource["urn"]: {*resource.get("dependencies", ()), resource.get("provider", "").rpartition("::")[0]} - {""}
        for resource in resources
    }


def rows(found: Spans, needed: Needs) -> list[Timing]:
    """Rows for the table of times, below that of the update: its layers, its critical path, what else took long."""
    path = critical_path(found, needed)
    return [*_layers(found), *_on_path(path, found), *_beside(path, found)]


def critical_path(found: Spans, needed: Needs) -> list[str]:
    """URNs, first to last: the resource that ended last, and back through what each one waited for longest."""
    path: list[str] = []
    waited_for: Iterable[str] = found
    while urn := max(waited_for, key=lambda each: found[each].end, default=""):
        path.append(urn)
        waited_for = _changed(urn, found, needed)
    return path[::-1]


def _changed(urn: str, found: Spans, needed: Needs) -> Iterator[str]:
    """What a resource waited for, through whatever did not change: providers, mostly."""
    seen: set[str] = set()
    ahead = list(needed.get(urn, ()))
    while ahead:
        each = ahead.pop()
        if each in found:
            yield each
        elif each not in seen:
            seen.add(each)
            ahead += needed.get(each, ())


def _layers(found: Spans) -> Iterator[Timing]:
    """From a layer's first resource's start to its last one's end."""
    members: dict[str, list[Span]] = {}
    for urn, span in found.items():
        if layer := _layer(urn):
            members.setdefault(layer, []).append(span)
    for layer, each in members.items():
        seconds = max(span.end for span in each) - min(span.start for span in each)
        yield Timing(f"  {layer}", f"{len(each)} resources", seconds)


def _on_path(path: Sequence[str], found: Spans) -> Iterator[Timing]:
    if not path:
        return
    begun = min(span.start for span in found.values())
    seconds = found[path[-1]].end - found[path[0]].start
    yield Timing("  critical path", f"{len(path)} resources, each behind the one before", seconds)
    for urn in path:
        span = found[urn]
        yield Timing(f"    {_title(urn)}", f"{span.operation}, from {span.start - begun} s on", span.seconds)


def _beside(path: Collection[str], found: Spans) -> Iterator[Timing]:
    others = sorted((urn for urn in found if urn not in path), key=lambda urn: -found[urn].seconds)
    if others:
        yield Timing(
            "  beside it", f"the slowest of {len(others)} resources", sum(found[urn].seconds for urn in others)
        )
    for urn in others[:SLOWEST]:
        yield Timing(f"    {_title(urn)}", found[urn].operation, found[urn].seconds)


def _title(urn: str) -> str:
    return urn.rpartition("::")[2]


def _kinds(urn: str) -> list[str]:
    """A resource's parents' types and its own, such as `lab:kvm:Machine`, `libvirt:index/volume:Volume`."""
    return urn.split("::")[-2].split("$")


def _layer(urn: str) -> str | None:
    component = _kinds(urn)[0].split(":")
    return _LAYERS.get(component[1]) if component[0] == "lab" else None
