"""Run the planner on a virtual clock to its end: the whole way to convergence, with times.

The world it runs in is as kind as it can be: trainings succeed, versions pass their gates, revisions become ready,
checks pass. It takes the assumed durations, and the spec's own holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.desired.state import DesiredModel
from reconciler.observed import Known, ObservedModel
from reconciler.plan.action import Action, Adopt, Deploy, LetGo, PutBack, RestoreStable, StartCanary, Train
from reconciler.plan.decision import Decision
from reconciler.plan.forecast_effects import effect
from reconciler.plan.planner import Rules, decide

MOST_STEPS = 300


@dataclass(frozen=True, slots=True)
class Assumptions:
    """How long things take that nobody can know before."""

    training: timedelta = timedelta(minutes=10)
    ready: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Forecast:
    """One action on the way: when it happens, counted from now, and why."""

    after: timedelta
    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Way:
    """The way to convergence: `last` is the decision at its end, `world` what is there then."""

    steps: tuple[Forecast, ...]
    last: Decision
    took: timedelta
    world: ObservedModel
    forgotten: bool = False


def nothing_yet(now: datetime) -> ObservedModel:
    """Return a world in which nothing exists."""
    return ObservedModel(registry=Known(None, now), serving=Known(None, now), runs=Known((), now))


def forecast(
    desired: DesiredModel, observed: ObservedModel, rules: Rules, now: datetime, assumptions: Assumptions
) -> Way:
    """Run until nothing more happens by itself, or something outside is needed."""
    start, steps, world = now, list[Forecast](), observed
    decision = decide(desired, world, rules, now)
    for _ in range(MOST_STEPS):
        if decision.action is not None:
            steps.append(Forecast(now - start, decision.action, decision.reason))
            if isinstance(decision.action, LetGo):
                return Way(tuple(steps), decision, now - start, world, forgotten=True)
            now += _took(decision.action, assumptions)
            world = effect(decision.action, desired, world, now)
        elif _holds(decision) and decision.look_again_at is not None:
            now = decision.look_again_at
        else:
            break
        decision = decide(desired, world, rules, now)
    return Way(tuple(steps), decision, now - start, world)


def _holds(decision: Decision) -> bool:
    """Return whether time alone brings the next step: a hold, a backoff or a freeze, but no trigger of next week."""
    return bool(decision.waits_for or decision.blocked_by) and not decision.stalled and decision.sync != "Synced"


def _took(action: Action, assumed: Assumptions) -> timedelta:
    match action:
        case Train():
            return assumed.training
        case Deploy() | PutBack() | Adopt() | StartCanary() | RestoreStable():
            return assumed.ready
        case _:
            return timedelta()
