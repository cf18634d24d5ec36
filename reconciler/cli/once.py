"""One-shot reconciliation: steps over chosen models until nothing is left, all wait, or the time is up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches

from reconciler.desired.state import DesiredState
from reconciler.errors import ReconcilerError, Refused, Terminal
from reconciler.passes import Reconciler
from reconciler.ports import Clock, Source
from reconciler.status import ModelStatus, Sync


@dataclass(frozen=True, slots=True)
class Act:
    """One action that was carried out, or tried: `error` says why it failed."""

    at: datetime
    model: str
    action: str
    reason: str
    error: str = ""


@dataclass(slots=True)
class Applied:
    """What came of it; a model whose status is None was let go of. `failed` are errors that nothing overcame."""

    statuses: dict[str, ModelStatus | None] = field(default_factory=dict)
    actions: list[Act] = field(default_factory=list)
    failed: dict[str, ReconcilerError] = field(default_factory=dict)

    @property
    def waiting(self) -> dict[str, ModelStatus]:
        """Return the models that are not in sync."""
        return {name: status for name, status in self.statuses.items() if status and status.sync is not Sync.SYNCED}


Tell = Callable[[Act], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """When to stop, and how to wait: `until` None does only what can be done now; `pause` waits a moment."""

    clock: Clock
    until: datetime | None
    pause: Callable[[], None]


def wanted_state(source: Source) -> DesiredState:
    """Fetch, and return what Git wants. Raises Terminal when it cannot be read."""
    status = source.fetch()
    state = source.desired()
    if state is None or status.failing_since is not None:
        raise Terminal(f"cannot read Git: {status.error}", help="check the git settings")
    return state


def chosen(state: DesiredState, models: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the chosen models, all without a choice. Raises Refused for a name that is not known."""
    for name in models:
        if name not in state.models:
            close = get_close_matches(name, state.models, n=1)
            advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(state.models)[:10])}"
            raise Refused(f"there is no model {name} in {state.commit.short}", help=advice)
    return tuple(sorted(set(models) or state.models))


def drive(reconciler: Reconciler, names: Sequence[str], pace: Pace, tell: Tell) -> Applied:
    """Act on the models, side by side, one action at a time."""
    done = Applied()
    while True:
        moved = [name for name in names if _advance(reconciler, name, done, pace.clock, tell)]
        if moved:
            continue
        if pace.until is None or not _hopeful(names, done) or pace.clock() >= pace.until:
            return done
        pace.pause()
        reconciler.refresh_registry()


def _advance(reconciler: Reconciler, name: str, done: Applied, clock: Clock, tell: Tell) -> bool:
    """Take one step; return whether it did something, so that another may follow at once."""
    if name in done.statuses and done.statuses[name] is None:
        return False
    result = reconciler.reconcile(name)
    done.statuses[name] = result.status
    done.failed.pop(name, None)
    if result.error is not None:
        done.failed[name] = result.error
    if result.acted is None:
        return False
    act = Act(clock(), name, result.acted, _reason(result.status), result.error.message if result.error else "")
    if not act.error or not _said_before(act, done):
        done.actions.append(act)
        tell(act)
    return result.error is None


def _said_before(act: Act, done: Applied) -> bool:
    """Return whether the model's last action failed in the same way."""
    last = next((other for other in reversed(done.actions) if other.model == act.model), None)
    return last is not None and (last.action, last.error) == (act.action, act.error)


def _reason(status: ModelStatus | None) -> str:
    return status.conditions.reconciling.message.removeprefix("because ") if status else ""


def _hopeful(names: Sequence[str], done: Applied) -> bool:
    """Return whether waiting may help one of the models: it is on its way, or its error may pass."""
    return any(_may_move(name, done) for name in names)


def _may_move(name: str, done: Applied) -> bool:
    if name in done.failed:
        return not isinstance(done.failed[name], Terminal)
    status = done.statuses.get(name)
    return status is not None and status.sync is not Sync.SYNCED and status.conditions.stalled.status != "True"
