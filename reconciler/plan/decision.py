"""What a check concludes: an action with its reason, or a wait that says for what and until when."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.analysis.verdict import CheckVerdict
from reconciler.gates.version import GateResult
from reconciler.observed import HeldField
from reconciler.plan.action import Action
from reconciler.status import Health, Phase, Sync


@dataclass(frozen=True, slots=True)
class VersionVerdict:
    """A version that was held against the gates: passed, or lost and by which."""

    version: int
    results: tuple[GateResult, ...]
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next action and why, or none and why.

    `blocked_by` names what keeps an action from starting. `stalled` says what needs a person. `look_again_at` None
    means that only an event changes anything. `cause` is the word for what stalls it; `takes` are the fields that the
    action takes from others, as the spec says. `versions` are the verdicts on versions, `checks` those of the canary.
    """

    phase: Phase
    sync: Sync
    health: Health
    action: Action | None = None
    reason: str = ""
    waits_for: str = ""
    blocked_by: str = ""
    stalled: str = ""
    cause: str = "NeedsChange"
    takes: tuple[HeldField, ...] = ()
    look_again_at: datetime | None = None
    versions: tuple[VersionVerdict, ...] = ()
    checks: tuple[CheckVerdict, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    def sooner(self, other: datetime | None) -> Decision:
        """Look again at `other`, if that is earlier."""
        if other is None or (self.look_again_at is not None and self.look_again_at <= other):
            return self
        return replace(self, look_again_at=other)


def act(action: Action, reason: str, phase: Phase, health: Health = Health.PROGRESSING) -> Decision:
    """Decide to do something."""
    return Decision(phase, Sync.OUT_OF_SYNC, health, action=action, reason=reason)


def wait(waits_for: str, phase: Phase, health: Health = Health.PROGRESSING, until: datetime | None = None) -> Decision:
    """Decide to wait for something that will come."""
    return Decision(phase, Sync.OUT_OF_SYNC, health, waits_for=waits_for, look_again_at=until)


def stall(what: str, phase: Phase, waits_for: str, health: Health = Health.DEGRADED) -> Decision:
    """Decide that a person has to change something first."""
    return Decision(phase, Sync.OUT_OF_SYNC, health, stalled=what, waits_for=waits_for)
