"""What was measured, and counts: of this step, and by the check as it stands in Git. Pure."""

from __future__ import annotations

from reconciler.desired.checks import Check
from reconciler.desired.question import question_of
from reconciler.observed import Measurement, Release
from reconciler.plan.facts import Facts


def evidence_of(facts: Facts, check: Check, release: Release, step: int) -> list[Measurement]:
    """Return what a check measured in a step, oldest first; what it asked before Git changed it is another check's."""
    wanted = (check.name, question_of(check, facts.desired.files), release, step)
    return [m for m in facts.observed.memory.measurements if (m.check, m.question, m.release, m.step) == wanted]
