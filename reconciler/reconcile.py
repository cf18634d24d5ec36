"""One pass over one model: observe, decide, read again what is about to be acted on, act once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from reconciler.desired.state import DesiredModel, DesiredState, Severity
from reconciler.ensure.scene import Systems
from reconciler.errors import ReconcilerError, Refused, Transient, UnknownOutcome
from reconciler.executor import execute
from reconciler.observe import Observer
from reconciler.observed import By, Known, ObservedModel, Order, OrderKind, Unknown
from reconciler.passes import GIT, LEDGER, REGISTRY, SERVING, TRAINING, StepResult
from reconciler.plan.action import LetGo
from reconciler.plan.decision import Decision
from reconciler.plan.describe import order_status, status_of
from reconciler.plan.facts import Facts, gather, rollout_of
from reconciler.plan.marks import RolloutRecord
from reconciler.plan.ordering import follows, order_of, repeated
from reconciler.plan.orders import ACTIONS, to_after
from reconciler.plan.planner import Rules, decide
from reconciler.plan.removal import losing, removal_guard
from reconciler.plan.shares import STABLE_NOT_READY
from reconciler.plan.training import ENDED
from reconciler.ports import Entry, Moment, Result, Source, SourceStatus
from reconciler.status import ModelStatus, OrderAnswer, Phase, Sync, SystemStatus

HOLD = "HoldRollback"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What Git says at one commit, and the rules that follow from it: a pass reads both at once."""

    state: DesiredState
    rules: Rules


@dataclass(slots=True)
class ModelReconciler:
    """Implements `passes.Reconciler` over the ports. Holds pictures and statuses, nothing that must survive.

    `leads` says whether this replica may act; it is asked right before every action.
    """

    source: Source
    systems: Systems
    observer: Observer
    training_poll: timedelta
    leads: Callable[[], bool] = lambda: True
    _wishes: Wishes | None = None
    _source_status: SourceStatus | None = None
    _unread: str = ""
    _rewrite: tuple[str, str] | None = None
    _statuses: dict[str, ModelStatus] = field(default_factory=dict)
    _applied: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ordering: threading.Lock = field(default_factory=threading.Lock)

    def refresh_source(self) -> frozenset[str]:
        """Fetch Git and take over what it says; return the models whose wishes changed."""
        self._source_status = self.source.fetch()
        try:
            state = self._read_wishes(self._source_status)
        except ReconcilerError as error:
            self._unread = error.message
            raise
        self._unread = ""
        return frozenset() if state is None else self._take_over(state)

    def _read_wishes(self, status: SourceStatus) -> DesiredState | None:
        state = self.source.desired()
        if state is not None:
            self._record_rewrite(status)
            # First, so that what is acted on survives a restart; where it cannot be kept, the next fetch tells it anew.
            self.systems.memory.remember(m for m in state.models.values() if not m.stale and not m.removed)
            self.systems.memory.act_on(status.line, state.commit.id)
        return state

    def _record_rewrite(self, status: SourceStatus) -> None:
        """Put a forced push on the ledger, once: that it is followed, or that it is not."""
        if status.commit is None:
            return
        if status.refused:
            rewrite = (status.commit.id, status.refused)
            note = _refused(*rewrite, status.error, self.systems.clock())
        elif status.rewritten_from:
            rewrite = (status.rewritten_from, status.commit.id)
            note = _rewritten(*rewrite, status.commit.author, self.systems.clock())
        else:
            return
        if rewrite != self._rewrite:
            self.systems.ledger.append(note)
            self._rewrite = rewrite

    def _take_over(self, state: DesiredState) -> frozenset[str]:
        with self._lock:
            before = self._wishes
            guard = removal_guard(state, self.observer.served(losing(state)))
            self._wishes = now = Wishes(state, Rules(state.policy, guard))
        if before is None or before.rules != now.rules:
            return frozenset(state.models)
        old = before.state.models
        return frozenset(n for n in old.keys() | state.models.keys() if old.get(n) is not state.models.get(n))

    @property
    def _models(self) -> Mapping[str, DesiredModel]:
        wishes = self._wishes
        return wishes.state.models if wishes else {}

    def refresh_registry(self) -> frozenset[str]:
        """Read the registry in bulk; return the models whose picture changed."""
        changed = self.observer.refresh_registry()
        return frozenset(m.name for m in self._models.values() if m.registered_model in changed)

    def names(self) -> frozenset[str]:
        """Return all known models."""
        return frozenset(self._models)

    def model_of(self, namespace: str, name: str) -> str | None:
        """Return the model that an InferenceService belongs to: they share the name."""
        del namespace  # a stray in another namespace concerns its model as well
        return name if name in self._models else None

    def statuses(self) -> Mapping[str, ModelStatus]:
        """Return the last status of every model."""
        with self._lock:
            return dict(self._statuses)

    def status_of_systems(self) -> Mapping[str, SystemStatus]:
        """Return how each system answers."""
        others = {name: self.observer.system_status(name) for name in (REGISTRY, SERVING, TRAINING, LEDGER)}
        return {GIT: self._git_status(), **others}

    def _git_status(self) -> SystemStatus:
        status = self._source_status
        if status is None:
            return SystemStatus(GIT, ok=False, error="not fetched yet")
        age = (self.systems.clock() - status.fetched_at).total_seconds() if status.fetched_at else None
        ok = status.failing_since is None and status.commit is not None and not self._unread
        error = status.error or self._unread or _problems(self._wishes)
        return SystemStatus(GIT, ok, status.failing_since or status.fetched_at, error, age)

    def reconcile(self, name: str) -> StepResult:
        """Look at one model, decide, and do at most one action."""
        wishes = self._wishes
        desired = wishes.state.models.get(name) if wishes else None
        if wishes is None or desired is None:
            self._drop(name)
            return StepResult(None)
        now = self.systems.clock()
        try:
            return self._step(desired, wishes.rules, now)
        except ReconcilerError as error:
            return StepResult(self._statuses.get(name), error=error)

    def _step(self, desired: DesiredModel, rules: Rules, now: datetime) -> StepResult:
        shown = self._statuses.get(desired.name)
        observed, decision = self._look(desired, rules, now)
        if decision.action is not None and self.observer.refresh_model(desired.registered_model):
            now = self.systems.clock()
            observed, decision = self._look(desired, rules, now)
        decision = self._look_again(observed, decision, now)
        status = self._status(desired, observed, decision, now)
        self._publish(status, instead_of=shown)
        if decision.cause == STABLE_NOT_READY and decision.phase is Phase.ROLLING_BACK and self.leads():
            self._note_held(desired, observed, decision, now)
        if decision.action is None or not self.leads():
            return StepResult(status, look_again_at=decision.look_again_at)
        return self._act(desired, observed, decision, status)

    def _note_held(self, desired: DesiredModel, observed: ObservedModel, decision: Decision, now: datetime) -> None:
        """Put on the ledger, once a rollout, that a candidate keeps its traffic as stable is ill too."""
        rollout = rollout_of(observed.registry.value) if isinstance(observed.registry, Known) else None
        if rollout is None:
            return
        ledger = self.systems.ledger
        if not ledger.entries(model=desired.name, actions=[HOLD], since=rollout.started, limit=1):
            ledger.append(_held(desired, rollout, decision, now))

    def _look(self, desired: DesiredModel, rules: Rules, now: datetime) -> tuple[ObservedModel, Decision]:
        self.observer.read_own_writes(desired.registered_model)
        observed = self.observer.observe(desired, now)
        return observed, decide(desired, observed, rules, now)

    def _act(
        self, desired: DesiredModel, observed: ObservedModel, decision: Decision, status: ModelStatus
    ) -> StepResult:
        facts = gather(desired, observed, status.updated_at)
        if not isinstance(facts, Facts) or decision.action is None:
            return StepResult(status)
        self.observer.acting(desired, decision.action)
        try:
            outcome = execute(facts, decision, self.systems, partial(self.observer.ordered, desired.name))
        except ReconcilerError as error:
            self.observer.ledger_answered(error.message)
            self.observer.unsettled(desired.name, type(decision.action).__name__, self.systems.clock())
            raise
        self.observer.ledger_answered("")
        if isinstance(outcome.error, UnknownOutcome):
            self.observer.unsettled(desired.name, type(decision.action).__name__, self.systems.clock())
        if isinstance(decision.action, LetGo) and outcome.error is None:
            self._let_go(desired.name)
            return StepResult(None, acted=LetGo.__name__)
        kind, again = type(decision.action).__name__, decision.look_again_at
        return StepResult(status, acted=kind, error=outcome.error, look_again_at=again if outcome.error else None)

    def order(self, name: str, kind: OrderKind, by: By) -> OrderAnswer:
        """Put what a person orders by hand on the ledger, unless it stands there already."""
        wishes = self._wishes
        if wishes is None:
            raise Transient("Git has not been read yet", help="order it again in a moment")
        desired = wishes.state.models.get(name)
        if desired is None:
            raise Refused(f"there is no model {name[:63]}", help="`reconciler status` lists all models")
        self.observer.refresh_model(desired.registered_model)
        observed = self.observer.observe(desired, self.systems.clock())
        # Two who order the same at once are recorded once; systems that hang keep nobody else from ordering.
        with self._ordering:
            facts = self._facts_for_order(desired, observed)
            order, new = _ordered(kind, by, facts)
            if not self.leads():  # right before it is recorded: the replica that leads would not look for it
                raise Transient("this replica does not lead, so it takes no orders", help="ask again in a moment")
            after = _with_order(order, facts)
            decision = decide(desired, after, wishes.rules, facts.now)
            if new:
                self.observer.order(_order_entry(order, facts))
                self._tell(desired, after, decision, facts.now)
        return OrderAnswer(name, order_status(order), not new, _follows(order, facts, decision))

    def _tell(self, desired: DesiredModel, observed: ObservedModel, decision: Decision, now: datetime) -> None:
        """Show what was just ordered, also where a check that is being measured keeps the model's worker."""
        status = self._status(desired, observed, self._look_again(observed, decision, now), now)
        with self._lock:
            if desired.name in self._statuses:  # not let go meanwhile
                self._statuses[desired.name] = status

    def _facts_for_order(self, desired: DesiredModel, observed: ObservedModel) -> Facts:
        """Return the facts, with what others ordered meanwhile. Raises Transient where they are not known."""
        memory = replace(observed.memory, orders=self.observer.ordered(desired.name))
        facts = gather(desired, replace(observed, memory=memory), self.systems.clock())
        if isinstance(facts, Unknown):
            raise Transient(f"what is there is not known now: {facts.why}", help="order it again in a moment")
        return facts

    def _let_go(self, name: str) -> None:
        with self._lock:
            if self._wishes is not None:
                models = {n: m for n, m in self._models.items() if n != name}
                self._wishes = replace(self._wishes, state=replace(self._wishes.state, models=models))
        self._drop(name)

    def _drop(self, name: str) -> None:
        with self._lock:
            self._statuses.pop(name, None)
            self._applied.pop(name, None)

    def _status(self, desired: DesiredModel, observed: ObservedModel, decision: Decision, now: datetime) -> ModelStatus:
        if decision.sync is Sync.SYNCED and decision.action is None:
            self._applied[desired.name] = desired.commit.id
        return status_of(desired, observed, decision, now, self._applied.get(desired.name, ""))

    def _publish(self, status: ModelStatus, *, instead_of: ModelStatus | None) -> None:
        """Tell people, unless an order that came during this look was told meanwhile: the next look knows of it."""
        with self._lock:
            if self._statuses.get(status.name) is instead_of:
                self._statuses[status.name] = status

    def _look_again(self, observed: ObservedModel, decision: Decision, now: datetime) -> Decision:
        """Look again after a while where something under way, or unreadable, will tell of itself by no event."""
        runs = observed.runs.value if isinstance(observed.runs, Known) else ()
        unread = any(
            isinstance(r, Unknown)
            for r in (observed.runs, observed.drift, observed.locations, *observed.evidence.values())
        )
        if unread or any(run.state not in ENDED for run in runs):
            return decision.sooner(now + self.training_poll)
        return decision


def _ordered(kind: OrderKind, by: By, facts: Facts) -> tuple[Order, bool]:
    """Return the order, and whether it is a new one."""
    try:
        order = order_of(kind, by, facts)
    except Refused:
        if (before := repeated(kind, by, facts)) is not None:
            return before, False
        raise
    return order, order not in facts.observed.memory.orders


def _with_order(order: Order, facts: Facts) -> ObservedModel:
    """Return what was observed, and that it was ordered."""
    memory = facts.observed.memory
    return replace(facts.observed, memory=replace(memory, orders=(*memory.orders, order)))


def _follows(order: Order, facts: Facts, decision: Decision) -> str:
    """Say what happens next, and what holds it up."""
    blocked = decision.blocked_by
    held = f"; but {blocked}" if blocked and order.kind is not OrderKind.PAUSE else ""
    return follows(order, facts) + held


def _order_entry(order: Order, facts: Facts) -> Entry:
    return Entry(
        at=order.at,
        moment=Moment.NOTE,
        model=facts.desired.name,
        action=next(name for name, kind in ACTIONS.items() if kind is order.kind),
        reason=order.reason,
        commit=facts.desired.commit.id,
        author=order.actor,
        result=Result.DONE,
        after=to_after(order),
    )


def _held(desired: DesiredModel, rollout: RolloutRecord, decision: Decision, at: datetime) -> Entry:
    checks = [verdict.as_json() for verdict in decision.checks]
    return Entry(
        at=at,
        moment=Moment.NOTE,
        model=desired.name,
        action=HOLD,
        reason=decision.stalled,
        commit=desired.commit.id,
        author=desired.commit.author,
        result=Result.DONE,
        evidence={"checks": checks} if checks else {},
        after={"release": str(rollout.release), "stable": str(rollout.stable)},
    )


def _rewritten(before: str, after: str, author: str, at: datetime) -> Entry:
    reason = f"the branch was rewritten: {after[:7]} does not descend from {before[:7]}, and is followed"
    return Entry(
        at=at,
        moment=Moment.NOTE,
        model="",
        action="FollowRewrite",
        reason=reason,
        commit=after,
        author=author,
        result=Result.DONE,
        before={"commit": before},
        after={"commit": after},
    )


def _refused(before: str, found: str, why: str, at: datetime) -> Entry:
    return Entry(
        at=at,
        moment=Moment.NOTE,
        model="",
        action="RefuseRewrite",
        reason=why,
        commit=before,
        result=Result.DONE,
        before={"commit": before},
        after={"commit": before, "refused": found},
    )


def _problems(wishes: Wishes | None) -> str:
    """Name the first problem of the specs in force; Git itself is well."""
    problems = [d for d in wishes.state.diagnostics if d.severity is Severity.ERROR] if wishes else []
    if not problems:
        return ""
    first = problems[0]
    return (
        f"{len(problems)} problems in the specs, the first: {first.path}:{first.line}:{first.column}: {first.message}"
    )
