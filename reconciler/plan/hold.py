"""Whether a step may be left, and else what it waits for. Pure; the checks have their own say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from reconciler.desired.cron import last_fire, next_fire
from reconciler.desired.holds import Step, Window, describe_hold
from reconciler.plan.facts import Facts
from reconciler.plan.marks import RolloutRecord


@dataclass(frozen=True, slots=True)
class Held:
    """What a step that may not be left waits for, and until when; `until` None means for a person."""

    waits_for: str
    until: datetime | None = None


def held(facts: Facts, record: RolloutRecord, step: Step, number: str) -> Held | None:
    """Return what holds a step, None when nothing does; `number` names it, such as `step 1 of 2`."""
    hold = step.hold
    match hold:
        case timedelta():
            until = record.since + hold
            return Held(f"the hold of {number} to end", until) if facts.now < until else None
        case "untilApproved":
            return None if facts.step_approved(record) else Held(f"approval of {number}, or a commit without that hold")
        case Window():
            if facts.now < last_fire(hold.cron, facts.now) + hold.duration:
                return None
            opens = next_fire(hold.cron, facts.now)
            return Held(f"the window after {number}, which opens on {opens:%F at %H:%M}Z", opens)
    assert_never(hold)


def over_since(facts: Facts, record: RolloutRecord, step: Step) -> datetime:
    """Return since when nothing holds a step, of one that nothing holds."""
    hold = step.hold
    match hold:
        case timedelta():
            return record.since + hold
        case "untilApproved":
            return facts.orders.steps[record.step].at
        case Window():
            return max(record.since, last_fire(hold.cron, facts.now))
    assert_never(hold)


def held_words(step: Step) -> str:
    """Write how long a step is held."""
    return f"held {describe_hold(step.hold)}"


def is_open(step: Step) -> bool:
    """Return whether nobody can say how long a step takes: the deadline does not run meanwhile."""
    return not isinstance(step.hold, timedelta)
