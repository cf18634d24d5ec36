"""Bugs of Standard mode: two predictors side by side, and a route that follows later."""

# ruff: noqa: ARG005  what is planted keeps the signature of what it replaces

from __future__ import annotations

from typing import Any

from reconciler.ensure import serving
from reconciler.plan import rollback, rollout, shares
from reconciler.plan.action import RestoreStable, RouteAll
from reconciler.plan.decision import act, wait
from reconciler.status import Phase
from reconciler.systems.serving import standard
from tests.simulation.museum.planting import Bug, Patch


def _pods_first(sound: Any) -> Any:
    def leave(seen: Any, live: Any, record: Any) -> Any:
        if live.standard:
            return act(RestoreStable(record.stable), "the candidate is not wanted", Phase.ROLLING_BACK)
        return sound(seen, live, record)

    return leave


def _unawaited(sound: Any) -> Any:
    def route_all(seen: Any, live: Any, record: Any, why: str) -> Any:
        if live.standard and live.canary_percent == 100:
            return act(RouteAll(record.release, record.stable_revision), "all is asked for", Phase.PROMOTING)
        return sound(seen, live, record, why)

    return route_all


def _split_as_asked(sound: Any) -> Any:
    def effective(service: Any, workloads: Any, routes: Any) -> Any:
        newest, stable, percent = service.latest_created, service.latest_rolledout, service.canary_percent
        if percent is None or newest not in workloads:
            return sound(service, workloads, routes)
        return {stable: 100 - percent, newest: percent}, True

    return effective


def _spec_alone(sound: Any) -> Any:
    def effective(service: Any, workloads: Any, routes: Any) -> Any:
        known = (service.latest_created, service.latest_rolledout)
        return sound(service, {name: w for name, w in workloads.items() if name in known}, routes)

    return effective


def _untold(_: Any) -> Any:
    return lambda release, percent, why, phase: wait("its share of the traffic", phase)


def _heir_unawaited(_: Any) -> Any:
    return lambda facts, live, record: act(
        RouteAll(record.release, record.stable_revision), "stable is the same as well", Phase.PROMOTING
    )


BUGS = (
    Bug("canary-removed-with-callers", "A canary is removed before its share is gone.", "I2 I3",
        (Patch(rollback, "_leave_candidate", _pods_first),)),
    Bug("stable-removed-with-callers", "Stable is removed while callers are still sent to it.", "I2 I3",
        (Patch(rollout, "route_all", _unawaited),)),
    Bug("split-believed-from-spec", "Shares are read from the spec, not from the route.", "I2 I3 I7",
        (Patch(standard, "_effective", _split_as_asked),)),
    Bug("ingress-believed-from-spec", "Callers are believed to be where the spec has them before the old one is gone.",
        "I2 I3 I7", (Patch(standard, "_effective", _spec_alone),)),
    Bug("renamed-in-place", "A first deployment that is replaced gets another name, so that its pods go.", "I2",
        (Patch(serving, "_in_place", lambda _: lambda scene, record: record),)),
    Bug("heir-not-awaited", "The canary goes before stable, which was made what it is, has come up.", "I2 I3",
        (Patch(rollout, "_succeed", _heir_unawaited),)),
    Bug("named-alike", "A canary gets the name of the predictor that it stands beside.", "I2 I3 I7 liveness",
        (Patch(serving, "_beside", lambda _: lambda scene, record: record),)),
    Bug("never-routed-never-told", "A canary that nothing routes is waited for without a word.", "liveness",
        (Patch(shares, "not_routed", _untold),)),
)  # fmt: skip
