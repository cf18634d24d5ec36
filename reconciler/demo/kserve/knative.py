"""Who gets which share of the traffic: KServe's and Knative's rules as pure functions.

Three actors take turns, and every known pitfall of `canaryTrafficPercent` comes from their order:
KServe writes traffic targets from the field and from what it last saw rolled out (`traffic_targets`),
Knative resolves them against the newest ready revision (`route`), and KServe reads the outcome back
and moves its rolled-out marks (`propagate`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

PREVIOUS_TAG = "prev"
LATEST_TAG = "latest"


@dataclass(frozen=True, slots=True)
class Target:
    """A wish for the route; an empty `revision` means whichever is the latest ready one."""

    revision: str
    percent: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """What a revision really gets; `latest` tells that it was asked for as the latest ready one."""

    revision: str
    percent: int
    tag: str = ""
    latest: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """The status of a Knative Service, as far as KServe reads it."""

    created: str = ""
    ready: str = ""
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """The predictor in an InferenceService's status; its marks outlive every pass."""

    created: str = ""
    ready: str = ""
    rolledout: str = ""
    previous: str = ""
    shares: tuple[Share, ...] = ()


def revision_name(service: str, number: int) -> str:
    """Name the revision that a service's `number`-th template gets."""
    return f"{service}-{number:05d}"


def revision_number(name: str) -> int:
    """Read the number back from a revision's name; 0 for no revision."""
    return int(name.rpartition("-")[2]) if name else 0


def traffic_targets(canary_percent: int | None, latest_tag: str, component: Component) -> tuple[Target, ...]:
    """Turn `canaryTrafficPercent` into targets; it is ignored until something was rolled out once."""
    if canary_percent is None or not component.rolledout:
        return (Target("", 100, latest_tag),)
    candidate = Target("", canary_percent, latest_tag)
    if canary_percent >= 100:
        return (candidate,)
    return (candidate, Target(component.rolledout, 100 - canary_percent, PREVIOUS_TAG))


def route(
    targets: tuple[Target, ...], latest: str, ready: Collection[str], standing: tuple[Share, ...]
) -> tuple[Share, ...]:
    """Resolve targets; while one of them is not ready, be it at 0 %, the whole route stays as it stands."""
    held = missing(targets, latest, ready) is not None
    return standing if held else tuple(_share(target, latest) for target in targets)


def missing(targets: tuple[Target, ...], latest: str, ready: Collection[str]) -> str | None:
    """Name the first target that is not ready: the route follows none of them before it is."""
    resolved = (target.revision or latest for target in targets)
    return next((name for name in resolved if name not in ready), None)


def _share(target: Target, latest: str) -> Share:
    return Share(target.revision or latest, target.percent, target.tag, latest=not target.revision)


def latest_ready(standing: str, ready: Iterable[str]) -> str:
    """Move to the newest ready revision, never back to an older one."""
    return max((standing, *ready), key=revision_number)


def propagate(component: Component, service: Service) -> Component:
    """Read a Knative Service back into the component's status, moving the rolled-out marks."""
    marked = component
    for share in service.shares:
        if share.latest and share.revision == service.ready:
            marked = _mark(marked, service, share)
    return replace(marked, created=service.created, ready=service.ready, shares=service.shares)


def _mark(component: Component, service: Service, share: Share) -> Component:
    if component.rolledout != service.ready:
        if share.percent != 100:
            return component
        return replace(component, previous=component.rolledout, rolledout=service.ready)
    if _taken_back(component, service, share):
        return replace(component, rolledout=component.previous)
    return component


def _taken_back(component: Component, service: Service, share: Share) -> bool:
    """Tell whether a finished rollout is being lowered: all targets meet on the one revision."""
    total = sum(other.percent for other in service.shares if other.revision == share.revision)
    settled = service.ready == service.created
    return settled and share.percent < 100 and total == 100 and bool(component.previous)
