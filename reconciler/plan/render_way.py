"""The whole way to convergence, one line a step. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby

from reconciler.desired.duration import format_duration
from reconciler.plan.action import Analyse, Deploy, Promote, PutBack, RestoreStable, StartCanary, Train
from reconciler.plan.forecast import Assumptions, Forecast
from reconciler.plan.proposal import ModelPlan
from reconciler.plan.render_words import plural, say, why


def way_lines(plan: ModelPlan) -> list[tuple[str, str, str]]:
    """Return the way as (after, what, why), the end last; measurements of one check in a row are one line."""
    lines = [line for _, steps in groupby(plan.way.steps, _folded) for line in _lines(list(steps), plan)]
    return [*lines, (clock(plan.way.took), *_end(plan))]


def _folded(step: Forecast) -> object:
    # Only measurements fold; every other step is a group of its own.
    return Analyse if isinstance(step.action, Analyse) else id(step)


def _lines(steps: Sequence[Forecast], plan: ModelPlan) -> Iterator[tuple[str, str, str]]:
    checks: dict[str, list[Forecast]] = {}
    for step in steps:
        checks.setdefault(_what(step, plan), []).append(step)
    for what, made in checks.items():
        first = made[0]
        if len(made) == 1:
            yield clock(first.after), what, why(first)
        else:
            until = clock(made[-1].after)
            yield clock(first.after), f"{what}, {plural(len(made), 'time')}", f"the last time at {until}"


def _what(step: Forecast, plan: ModelPlan) -> str:
    before = plan.serving_version
    if isinstance(step.action, Promote) and before is not None and before != step.action.version:
        return f"{say(step.action)}, version {before} is archived"
    return say(step.action)


def _end(plan: ModelPlan) -> tuple[str, str]:
    last = plan.way.last
    if plan.way.forgotten:
        return "nothing of it is left to reconcile", ""
    if plan.converges:
        return "everything is as Git says", ""
    if last.blocked_by:
        return "held up", last.blocked_by
    return ("stops", f"{last.stalled}; waits for {last.waits_for}") if last.stalled else ("waits", last.waits_for)


def clock(length: timedelta) -> str:
    """Write how long after now, exact to the second."""
    return format_duration(timedelta(seconds=round(length.total_seconds())))


def assumption(plans: Sequence[ModelPlan], assumptions: Assumptions) -> str:
    """Say which of the times are assumed; empty where none is."""
    actions = [action for plan in plans for action in plan.actions]
    assumed = []
    if any(isinstance(action, Train) for action in actions):
        assumed.append(f"a training takes {format_duration(assumptions.training)}")
    if any(isinstance(action, Deploy | StartCanary | RestoreStable | PutBack) for action in actions):
        assumed.append(f"a revision is ready after {format_duration(assumptions.ready)}")
    return f"Assumed: {', '.join(assumed)}, every gate and check passes." if assumed else ""
