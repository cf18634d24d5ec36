"""Give a candidate its share of the callers, and wait until it has it: what keeps it from that is told. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.manifest import canary_pods
from reconciler.observed import InferenceService
from reconciler.plan.action import RouteAll, ScaleCanary, ShiftTraffic
from reconciler.plan.begin import not_routed
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.facts import BACK_WITHIN, ROUTED_WITHIN, Facts, routes_nothing, unroutable, unserved
from reconciler.plan.marks import RolloutRecord
from reconciler.plan.progress import cause, effective_percent, stalled_by
from reconciler.status import Phase

STABLE_NOT_READY = "StableNotReady"
ALL = 100


def shift(facts: Facts, live: InferenceService, record: RolloutRecord, percent: int, why: str) -> Decision:
    """Give the candidate a share of a step, once the pods are there that it needs."""
    shifted = act(ShiftTraffic(record.release, percent, record.stable_revision), why, Phase.CANARY)
    return _pods_first(facts, live, record, percent) or shifted


def _pods_first(facts: Facts, live: InferenceService, record: RolloutRecord, percent: int) -> Decision | None:
    """Have the pods there that are to carry a share: in Standard mode KServe gives it to a canary that has one."""
    candidate, stable = (facts.observed.records.get(release) for release in (record.release, record.stable))
    there = live.available.get(live.latest_created or "")
    if not live.standard or live.succeeded or candidate is None or stable is None or there is None:
        return None
    pods, phase = canary_pods(candidate, stable, percent), Phase.PROMOTING if percent == ALL else Phase.CANARY
    if there >= pods or live.canary_percent is None:
        return None
    if live.canary_pods < pods:
        scale = ScaleCanary(record.release, live.canary_percent, pods, record.stable_revision)
        return act(scale, f"because {pods} pods are to carry {percent} %", phase)
    what = f"{pods} pods of version {record.release.version}, which are to carry {percent} %; {there} are there"
    return stalled_by(live, wait(f"{what}{cause(live)}", phase))


def route_all(facts: Facts, live: InferenceService, record: RolloutRecord, why: str) -> Decision:
    """Give the candidate everything; in Standard mode the stable predictor goes only when nobody is sent to it.

    Where nothing routes a canary, or stable has no pods, that is the moment when the promotion itself moves callers.
    """
    if live.standard and record.stable_revision not in live.unready:
        if (pods := _pods_first(facts, live, record, ALL)) is not None:
            return pods
        if live.canary_percent != ALL:
            return act(ShiftTraffic(record.release, ALL, record.stable_revision), f"because {why}", Phase.PROMOTING)
        follows = record.percent or record.stable_revision in live.short or not unroutable(live, facts.now)
        if effective_percent(live) != ALL and follows:
            return awaits_share(facts, live, record, ALL, Phase.PROMOTING)
    return act(RouteAll(record.release, record.stable_revision), f"because {why}", Phase.PROMOTING)


def without_stable(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision | None:
    """Give a candidate that is ready everything where nobody is served: its gates are passed, and no step can begin.

    KServe routes nothing new while the stable revision is not ready, so the candidate cannot even be probed beside it.
    """
    if not unserved(live, record.stable_revision):
        return None
    since = live.unready_since.get(record.stable_revision)
    if since is not None and facts.now < (until := since + BACK_WITHIN):
        return wait(
            f"{record.stable_revision} to be ready again: all callers are sent to it", Phase.CANARY, until=until
        )
    why = f"stable is not ready: all callers are sent to {record.stable_revision}, and no step can begin beside it"
    return route_all(facts, live, record, why)


def awaits_share(
    facts: Facts, live: InferenceService, record: RolloutRecord, percent: int, phase: Phase = Phase.CANARY
) -> Decision:
    """Wait for a share that was asked for; what keeps it from taking effect is told."""
    version, gets = record.release.version, effective_percent(live)
    if (why := routes_nothing(live, record.stable_revision)) and live.standard:
        what = f"version {version} gets {gets} % of the traffic, not {percent} %: {why}"
        return _stable_not_ready(live, record, what, phase)
    if unroutable(live, facts.now) and record.percent:
        what = f"version {version} gets {gets} % of the traffic, not {percent} %: the HTTPRoute does not follow"
        return stall(what, phase, "KServe's controller, whose log may say why")
    if unroutable(live, facts.now):
        why = f"the HTTPRoute sends it {gets} %" if live.splits else "there is no HTTPRoute"
        return not_routed(record.release, percent, why, phase)
    share = "all traffic" if percent == ALL else f"{percent} % of the traffic"
    what = f"{share} to reach version {version}{cause(live)}"
    return stalled_by(live, wait(what, phase, until=_routed_by(live)))


def awaits_nothing(live: InferenceService, record: RolloutRecord, phase: Phase) -> Decision:
    """Wait until nobody is sent to the candidate any more; what keeps callers there is told."""
    version, why = record.release.version, routes_nothing(live, record.stable_revision)
    if not why:
        return wait(f"0 % of the traffic to reach version {version}", phase)
    what = f"version {version} keeps {effective_percent(live)} % of the traffic, though 0 % is asked for: {why}"
    return replace(stall(what, phase, f"{record.stable_revision} to be ready again"), cause=STABLE_NOT_READY)


def hold_while_unrouted(live: InferenceService, record: RolloutRecord, decision: Decision) -> Decision:
    """Tell that no other share takes effect while the stable revision is not ready; what measures goes on."""
    shown = decision.action is not None or effective_percent(live) == live.canary_percent
    why = routes_nothing(live, record.stable_revision)
    if not why or (shown and not isinstance(decision.action, ShiftTraffic)):
        return decision
    what = f"version {record.release.version} gets no other share of the traffic: {why}"
    held = _stable_not_ready(live, record, what, Phase.CANARY)
    return replace(held, checks=decision.checks, look_again_at=decision.look_again_at)


def _stable_not_ready(live: InferenceService, record: RolloutRecord, what: str, phase: Phase) -> Decision:
    waits = f"{record.stable_revision} to be ready again"
    if record.stable_revision in live.unready:
        waits += ", or `reconciler promote`: all traffic goes without it"
    return replace(stall(what, phase, waits), cause=STABLE_NOT_READY)


def _routed_by(live: InferenceService) -> datetime | None:
    """Return when a route that does not name the candidate counts as one that never will."""
    return live.applied_at + ROUTED_WITHIN if live.standard and live.applied_at and not live.listed else None
