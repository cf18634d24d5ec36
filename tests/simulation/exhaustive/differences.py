"""Where a faulted run may end otherwise than the calm one: each rule is named and says why."""

from __future__ import annotations

from tests.simulation.exhaustive.reference import Story
from tests.simulation.exhaustive.run import Ending


def allowed(story: Story, calm: Ending, faulted: Ending) -> str:
    """Return the rule that allows a difference, "" where there is none. Raises AssertionError where none does."""
    differing = {part for part in calm if calm[part] != faulted[part]}
    if not differing:
        return ""
    said = "; ".join(f"{part}: {faulted[part]}, calm: {calm[part]}" for part in sorted(differing))
    raise AssertionError(f"{story.name} ended otherwise: {said}")
