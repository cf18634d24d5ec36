"""Bring a candidate to callers: canary steps, then all traffic.

The protocol is facts/KSERVE.md's: the candidate is applied with 0 %; nothing moves before the newest revision is the
newest ready one and `prev` is the recorded stable revision; traffic rises in applies that touch nothing else; removing
the split promotes. In Standard mode the split is removed once all callers go to the candidate: its pods stay, those of
the stable predictor go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.analysis.verdict import CheckVerdict, due_at, judge
from reconciler.desired.checks import Check
from reconciler.desired.duration import format_duration
from reconciler.desired.holds import Step
from reconciler.observed import InferenceService, Measurement, Order
from reconciler.plan.action import Analyse, BeginStep, RouteAll, ScaleCanary, ShiftTraffic, StartCanary
from reconciler.plan.begin import begin_rollout, no_canaries
from reconciler.plan.course import deadline_of, goes_back, steps_of
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.evidence import evidence_of
from reconciler.plan.facts import (
    JUDGED_AFTER,
    Facts,
    beyond_help,
    hangs_above,
    settled,
    sole_release,
    taken_up,
)
from reconciler.plan.hold import held, held_words, over_since
from reconciler.plan.marks import RolloutRecord
from reconciler.plan.orders import said
from reconciler.plan.progress import candidate_ready, cause, crashed, cut_short, effective_percent, settling, stalled_by
from reconciler.plan.shares import ALL, awaits_share, hold_while_unrouted, route_all, shift, without_stable
from reconciler.status import Health, Phase

# How long after a measurement a step is left though another one is due: time enough for the pass that follows it.
_ROUND = timedelta(seconds=5)


def continue_rollout(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision:
    """Take the next step of the rollout on record; going wrong is decided elsewhere, before."""
    decision = _continue(facts, live, record)
    pause = facts.orders.pause
    return decision if pause is None else _paused(decision, pause)


def _paused(decision: Decision, pause: Order) -> Decision:
    """Hold the rollout where it is: what measures, and what writes down what is so, goes on."""
    health = Health.SUSPENDED if decision.health is Health.PROGRESSING else decision.health
    if isinstance(decision.action, (Analyse, BeginStep)):
        return replace(decision, health=health)
    waits = "`reconciler resume`, `reconciler promote` or `reconciler abort`"
    held = replace(decision, action=None, reason="", blocked_by=said(pause, "paused"), waits_for=waits)
    return replace(held, health=health)


def _continue(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision:
    release = record.release
    if live.canary_percent is None:
        return _start(facts, live, record)
    if live.succeeded:
        return _succeed(facts, live, record)
    if live.release != release:
        # The one before was taken to 0 % when this one superseded it.
        return act(StartCanary(release), "because it supersedes the candidate before, which has 0 %", Phase.CANARY)
    deadline = _deadline_ahead(facts, record)
    if not candidate_ready(live, record):
        what = f"candidate version {release.version} to become ready{cause(live)}"
        waiting = stalled_by(live, wait(what, Phase.CANARY, until=deadline)).sooner(_judged_at(facts, live))
        return _measure_on(facts, live, record, waiting) if crashed(live) else waiting
    step = _step(facts, live, record)
    return step if facts.orders.promote is not None else step.sooner(deadline)


def _deadline_ahead(facts: Facts, record: RolloutRecord) -> datetime | None:
    """Return when the rollout has to be over; one that is over and waived would be looked at again and again."""
    deadline = deadline_of(facts, record)
    return deadline if deadline is not None and deadline > facts.now else None


def _measure_on(facts: Facts, live: InferenceService, record: RolloutRecord, waiting: Decision) -> Decision:
    """Measure a candidate that crashed with callers for as long as it is waited for: they need not wait so long."""
    steps = steps_of(facts, record)
    if not 0 < record.step <= len(steps):
        return waiting
    held = _hold(facts, live, record, steps[record.step - 1], record.step)
    if isinstance(held.action, Analyse):
        return held
    return replace(waiting, checks=held.checks).sooner(held.look_again_at)


def _succeed(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision:
    """Let the stable predictor, which was made what the canary is, take over from it; then the canary goes."""
    version = record.release.version
    if not live.ready:
        return _await_heir(facts, live, record)
    if live.canary_percent:
        why = f"because the stable predictor is version {version} as well, and ready"
        return act(ShiftTraffic(record.release, 0, record.stable_revision), why, Phase.PROMOTING)
    if effective_percent(live):
        return wait("the canary to have no callers any more", Phase.PROMOTING)
    why = f"because callers get version {version} of the stable predictor"
    return act(RouteAll(record.release, record.stable_revision), why, Phase.PROMOTING)


def _await_heir(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision:
    """Wait for the stable predictor's new pods: callers keep the canary's, however long that takes."""
    what, within = f"version {record.release.version} to come up as the stable predictor", facts.spec.rollout.deadline
    late = (live.applied_at or record.started) + within
    if live.failure is None and facts.now < late:
        return wait(f"{what}{cause(live)}", Phase.PROMOTING, until=late)
    why = live.failure.reason if live.failure else f"it did not come up within {format_duration(within)}"
    help_ = f"{what}, or `reconciler abort`, which gives callers back to {record.stable}; the canary serves until then"
    return stall(f"{why}{cause(live)}", Phase.PROMOTING, help_)


def _start(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision:
    """Apply the candidate, or await its last step: without a split either nothing or everything went to it."""
    if live.release == record.release:
        if cut_short(live, record):
            what = f"all traffic to reach the candidate, which is not ready any more{cause(live)}"
            return stalled_by(live, wait(what, Phase.PROMOTING, until=_deadline_ahead(facts, record)))
        return wait("all traffic to reach the candidate", Phase.PROMOTING)
    stable = sole_release(live, record)
    if stable is None or not (settled(live) or hangs_above(live, stable)):
        return settling(live, "the candidate is applied", Phase.CANARY)
    if stable != record.stable or live.latest_ready != record.stable_revision:
        return begin_rollout(live, stable, record.release)  # another revision came up since it was staged
    if live.standard and not live.canaries:
        return no_canaries(record.release, Phase.CANARY)
    return act(StartCanary(record.release), "because the candidate is staged; it starts with 0 %", Phase.CANARY)


def _step(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision:
    steps = steps_of(facts, record)
    index = min(record.step, len(steps))
    if (why := _at_once(facts, record, steps)) is not None:
        return route_all(facts, live, record, why)
    if index == 0:
        return without_stable(facts, live, record) or _enter(facts, live, record, 1)
    if _leaving(live, steps, index):
        return route_all(facts, live, record, "every step passed")
    return hold_while_unrouted(live, record, _in_step(facts, live, record, index))


def _in_step(facts: Facts, live: InferenceService, record: RolloutRecord, index: int) -> Decision:
    steps = steps_of(facts, record)
    step = steps[index - 1]
    if record.percent not in (None, step.traffic):
        return _enter(facts, live, record, index)  # Git changed the step since it was begun
    if live.canary_percent != step.traffic and not _entering(live, steps, index):
        return shift(
            facts, live, record, step.traffic, f"because step {index} of {len(steps)} asks for {step.traffic} %"
        )
    if _entering(live, steps, index):
        return _enter(facts, live, record, index + 1)
    decision = _hold(facts, live, record, step, index)
    if isinstance(decision.action, (ShiftTraffic, ScaleCanary, RouteAll)) and effective_percent(live) != step.traffic:
        return replace(awaits_share(facts, live, record, step.traffic), checks=decision.checks)
    return decision


def _at_once(facts: Facts, record: RolloutRecord, steps: tuple[Step, ...]) -> str | None:
    """Return why a candidate that is ready gets everything now, None where it goes by steps."""
    if facts.orders.promote is not None:
        return f"it is ready, and was {said(facts.orders.promote, 'promoted')}"
    if goes_back(facts, record):
        return "callers had it before and it is ready again: going back takes no steps"
    return None if steps else "it is ready and the rollout has no steps"


def _entering(live: InferenceService, steps: tuple[Step, ...], index: int) -> bool:
    """Return whether the next step's traffic was asked for, but its begin is not on record yet."""
    return index < len(steps) and live.canary_percent == steps[index].traffic


def _enter(facts: Facts, live: InferenceService, record: RolloutRecord, number: int) -> Decision:
    step = steps_of(facts, record)[number - 1]
    if live.canary_percent != step.traffic:
        why = f"because the candidate is ready; step {number} gives it {step.traffic} %"
        return shift(facts, live, record, step.traffic, why)
    if effective_percent(live) != step.traffic:
        return awaits_share(facts, live, record, step.traffic)
    if not taken_up(live):
        what = f"the route to take up version {record.release.version}{cause(live)}"
        return stalled_by(live, wait(what, Phase.CANARY))
    # Knative programs no route to a stable that is not ready: waiting for one would help nobody.
    if not live.routed and record.stable_revision not in live.unready:
        what = f"the network to take up {step.traffic} % for version {record.release.version}{cause(live)}"
        return wait(what, Phase.CANARY)
    begin = BeginStep(record.release, number, facts.now)
    return act(begin, f"because {step.traffic} % are effective; {held_words(step)}", Phase.CANARY)


def _judged_at(facts: Facts, live: InferenceService) -> datetime | None:
    """Return when a failure that no waiting helps counts, None where it does already."""
    if live.failure is None or not live.failure.terminal or live.applied_at is None:
        return None
    return None if beyond_help(live, facts.now) else live.applied_at + JUDGED_AFTER


def _leaving(live: InferenceService, steps: tuple[Step, ...], index: int) -> bool:
    """Tell whether the last step of a canary in Standard mode is over, as everything was asked for since."""
    return live.standard and live.canary_percent == ALL and index == len(steps) and steps[-1].traffic != ALL


def check_verdicts(facts: Facts, record: RolloutRecord) -> tuple[CheckVerdict, ...]:
    """Judge every check by what was measured in the running step."""
    return tuple(judge(check, _made(facts, record, check)) for check in facts.spec.rollout.analysis)


def _made(facts: Facts, record: RolloutRecord, check: Check) -> list[Measurement]:
    return [m for m in evidence_of(facts, check, record.release, record.step) if m.at >= record.since]


def _hold(facts: Facts, live: InferenceService, record: RolloutRecord, step: Step, number: int) -> Decision:
    verdicts = check_verdicts(facts, record)
    measured = {check.name: _due(facts, record, check) for check in facts.spec.rollout.analysis}
    due = {check: at for check, at in measured.items() if at is not None}
    first = min(due, key=lambda name: due[name], default=None)
    name = f"step {number} of {len(steps_of(facts, record))}"
    hold = held(facts, record, step, name)
    unsure = [v for v in verdicts if v.holds_step]
    free = hold is None and not unsure and facts.orders.pause is None
    if first is not None and due[first] <= facts.now and not (free and _proven(facts, record, step, due)):
        measure = Analyse(record.release, number, first)
        return replace(act(measure, f"because check {first} is due in {name}", Phase.CANARY), checks=verdicts)
    times = (hold.until if hold else None, *due.values(), _round_until(facts, record) if free else None)
    look = min((t for t in times if t is not None and t > facts.now), default=None)
    if free:
        return replace(_leave(facts, live, record, number, verdicts), checks=verdicts).sooner(look)
    unproven = f"{unsure[0].check}: {unsure[0].why}" if unsure else f"{name} to be left"
    return replace(wait(hold.waits_for if hold else unproven, Phase.CANARY, until=look), checks=verdicts)


def _proven(facts: Facts, record: RolloutRecord, step: Step, due: Mapping[str, datetime]) -> bool:
    """Return whether a step whose checks pass is left before what is due is measured once more.

    Where measuring takes longer than an interval something is always due: one round since the hold was over is enough.
    """
    over, until = over_since(facts, record, step), _round_until(facts, record)
    asked = [c for c in facts.spec.rollout.analysis if not c.dry_run and c.name in due and due[c.name] <= facts.now]
    again = all(any(m.at >= over for m in _made(facts, record, check)) for check in asked)
    return not asked or (again and until is not None and facts.now < until)


def _round_until(facts: Facts, record: RolloutRecord) -> datetime | None:
    """Return how long the newest measurement ends a round: a step that cannot be left meanwhile is measured on."""
    made = (m for check in facts.spec.rollout.analysis for m in _made(facts, record, check))
    newest = max((m.over_at for m in made), default=None)
    return None if newest is None else newest + _ROUND


def _due(facts: Facts, record: RolloutRecord, check: Check) -> datetime | None:
    return due_at(check, record.since, _made(facts, record, check))


def _leave(
    facts: Facts, live: InferenceService, record: RolloutRecord, number: int, verdicts: tuple[CheckVerdict, ...]
) -> Decision:
    steps = steps_of(facts, record)
    proof = "; ".join(f"{v.check}: {v.why}" for v in verdicts) or "the hold is over, no check was asked for"
    if number < len(steps):
        return shift(facts, live, record, steps[number].traffic, f"because step {number} passed ({proof})")
    return route_all(facts, live, record, f"every step passed ({proof})")
