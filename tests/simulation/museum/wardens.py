"""What the museum holds besides the truth: promises that show in what is intended and in where it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from reconciler.desired.documents import MetricGate, ModelSpec, OnRemoval, Rollout
from reconciler.desired.holds import Step
from reconciler.desired.state import DesiredModel
from reconciler.observed import (
    TAG_MANAGED,
    TAG_ROLLOUT,
    TAG_TRAINING_KEY,
    ModelVersion,
    Release,
    RunState,
    Stage,
)
from reconciler.plan.marks import RolloutRecord
from reconciler.ports import Entry, Moment, Result
from reconciler.registry_roles import role
from tests.simulation.invariants import gives_all
from tests.simulation.serving import Key
from tests.simulation.world import World

T = TypeVar("T")

PAUSE = timedelta(seconds=5)
BACKOFF = timedelta(seconds=10)
UNHELD = frozenset(
    {"Analyse", "BeginStep", "CutTraffic", "FinishRollback", "RecordGates", "Reject", "RestoreStable", "StopTraining",
     "Withdraw"}
)  # fmt: skip


@dataclass(slots=True)
class Warden:
    """Looks at every intent, every deletion and the end of a run."""

    world: World
    put_back: dict[str, Entry] = field(default_factory=dict)
    proved: set[tuple[str, int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        world = self.world
        entered, deleted, written = world.ledger.on_entry, world.serving.before_delete, world.faults.before_write
        world.ledger.on_entry = _both(self._entered, entered)
        world.serving.before_delete = _both(self._deleted, deleted)
        world.faults.before_write = _both(self._written, written)

    def _desired(self, name: str) -> DesiredModel | None:
        state = self.world.source.published
        return state.models.get(name) if state else None

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a model as they are."""
        model = self.world.registry.models.get(name)
        return model.versions if model else ()

    def _version(self, name: str, number: int) -> ModelVersion | None:
        return next((v for v in self.versions(name) if v.version == number), None)

    def _entered(self, entry: Entry) -> None:
        desired = self._desired(entry.model)
        if entry.moment is not Moment.INTENT or desired is None:
            return
        held = desired.spec.suspend and entry.action not in UNHELD and entry.after.get("percent") != 0
        assert not held, f"suspended: {entry.action} of {entry.model} is begun"
        release = Release.parse(str(entry.after.get("release") or ""))
        match entry.action:
            case "RecordGates":
                self._verdict(entry, desired.spec)
            case "StageCandidate" | "Deploy" if release is not None:
                self._wanted(entry, desired.spec, release)
            case "ShiftTraffic" | "RouteAll" if release is not None and not desired.removed:
                self._advanced(entry, desired.spec, release)
            case "Train":
                self._trained(entry, desired.spec)
            case "PutBack":
                self._paced(entry)
            case "LetGo":
                self._nothing_left(entry.model, desired.spec)

    def _verdict(self, entry: Entry, spec: ModelSpec) -> None:
        passed = str(entry.after["verdict"]).startswith("passed ")
        number = int(entry.after["version"])
        ought = self.passes(entry.model, number, spec)
        assert ought is None or passed == ought, f"I1: version {number} is recorded as {entry.after['verdict']}"
        if passed:
            self.proved.add((entry.model, number, spec.promotion.gates_digest))

    def passes(self, name: str, number: int, spec: ModelSpec) -> bool | None:
        """Return whether a version passes the metric gates of a spec; None where that cannot be told from here."""
        answers = [self._passes(name, number, gate) for gate in spec.promotion.gates if isinstance(gate, MetricGate)]
        if False in answers:
            return False
        return None if None in answers or len(answers) < len(spec.promotion.gates) else True

    def _passes(self, name: str, number: int, gate: MetricGate) -> bool | None:
        value = self.world.registry.metrics[name, number].get(gate.metric, math.nan)
        if not math.isfinite(value):
            return gate.against is not None and not self._against(name, number)
        if gate.against is None:
            return (gate.min is None or value >= gate.min) and (gate.max is None or value <= gate.max)
        return all(before - value <= (gate.max_regression or 0.0) for before in self._against(name, number))

    def _against(self, name: str, number: int) -> list[float]:
        production = [v.version for v in self.versions(name) if role(v) is Stage.PRODUCTION and v.version != number]
        return [self.world.registry.metrics[name, n].get("accuracy", math.nan) for n in production[-1:]]

    def _wanted(self, entry: Entry, spec: ModelSpec, release: Release) -> None:
        """Hold that a version that sets out for callers passes the gates in force and is approved."""
        name = entry.model
        version = self._version(name, release.version)
        services = [key for key in self.world.serving.live if key[1] == name]
        known = version is None or role(version) is Stage.PRODUCTION or TAG_ROLLOUT in version.tags
        if known or any(release.version in self.world.serving.shares(key) for key in services):
            return
        absolute = [g for g in spec.promotion.gates if isinstance(g, MetricGate) and g.against is None]
        # Its metrics may have been lost since.
        proved = (name, release.version, spec.promotion.gates_digest) in self.proved
        failed = [g.metric for g in absolute if not proved and not self._passes(name, release.version, g)]
        assert not failed, f"I1: {release} sets out, but fails {failed}"
        pin = spec.promotion.version
        # A watch that is behind may still show what callers had.
        approved = spec.promotion.approval == "none" or pin != "auto" or self.world.serving.lagging
        assert approved or services, f"I1: {release} is deployed, but nobody approved it"
        assert approved or not services, f"I1: {release} sets out, but nobody approved it"
        # What callers had in another namespace is deployed, whatever Git names by now.
        named = entry.action == "Deploy" or pin in ("auto", str(release.version))
        assert named, f"I1: {release} sets out, but Git names version {pin}"

    def _rollout(self, name: str, release: Release) -> RolloutRecord | None:
        found = (RolloutRecord.from_tag(v.tags[TAG_ROLLOUT]) for v in self.versions(name) if TAG_ROLLOUT in v.tags)
        record = max((r for r in found if r), key=lambda r: r.started, default=None)
        return record if record is not None and record.release == release else None

    def _advanced(self, entry: Entry, spec: ModelSpec, release: Release) -> None:
        """Hold that a candidate is given more only on evidence, after its hold and before its deadline."""
        record, rollout = self._rollout(entry.model, release), spec.rollout
        if entry.after.get("percent") == 0 or record is None or self._promoted_by_hand(entry, record):
            return
        for key, live in self.world.serving.live.items():
            unready = (
                key[1] == entry.model and live.releases.get(live.newest) == release and live.newest not in live.ready
            )
            assert not unready or self.world.serving.lagging, f"I2: {release} is given more before it is ready"
        steps = () if self._had_before(entry.model, record, rollout) else rollout.course
        held_open = record.waits or (
            0 < record.step <= len(steps) and not isinstance(steps[record.step - 1].hold, timedelta)
        )
        late = not held_open and entry.at >= self._counted(entry.model, record) + rollout.deadline
        assert not late or self._stood_still(entry.model, record), (
            f"I2: {release} is given more after the deadline of its rollout"
        )
        everything = gives_all(entry, rollout)
        stepless = everything and steps and not record.step and self._served(entry.model)
        assert not stepless, f"I2: {release} is given all without a step"
        if not 0 < record.step <= len(steps):
            return
        here = steps[record.step - 1]
        ahead = steps[record.step].traffic if record.step < len(steps) else None
        asked = None if everything else entry.after.get("percent")
        if record.percent == here.traffic and asked == ahead and ahead != here.traffic:
            self._left(entry, spec, record, here)

    def _counted(self, name: str, record: RolloutRecord) -> datetime:
        """Return from when the deadline counts: a commit that changes the spec begins it anew."""
        state = self.world.source.published
        assert state is not None
        return max(record.counted or record.started, state.models[name].commit.at)

    def _stood_still(self, name: str, record: RolloutRecord) -> bool:
        """Tell whether the deadline may have stood still: in a freeze, or while a person paused the rollout."""
        about = record.started.isoformat()
        orders = [o for o in self.world.truth.orders.get(name, ()) if o.action == "OrderPause"]
        return bool(self.world.source.policy.freezes) or any(o.after.get("rollout") == about for o in orders)

    def _served(self, name: str) -> bool:
        """Tell whether anybody is served: where all of them are sent to what crashed no step can begin."""
        objects = [live for key, live in self.world.serving.live.items() if key[1] == name]
        return any(share.percent and share.revision in live.up for live in objects for share in live.shares)

    def _promoted_by_hand(self, entry: Entry, record: RolloutRecord) -> bool:
        """Tell whether a person ordered this rollout to skip its steps and checks."""
        about = (str(record.release), record.started.isoformat())
        orders = [o for o in self.world.truth.orders.get(entry.model, ()) if o.action == "OrderPromote"]
        return any((o.after.get("release"), o.after.get("rollout")) == about for o in orders)

    def _had_before(self, name: str, record: RolloutRecord, rollout: Rollout) -> bool:
        """Tell whether the rollout goes back to what callers had, which takes no steps."""
        older = record.release.version < record.stable.version and rollout.on_revert == "immediate"
        return older and record.release in self.world.truth.exposure(name).promoted

    def _left(self, entry: Entry, spec: ModelSpec, record: RolloutRecord, step: Step) -> None:
        approved = any(r.entry.action == "OrderApprove" for r in self.world.ledger.of.get(entry.model, ()))
        # The window is held by what is decided; how long it took to write that down is none of its business.
        early = not approved if step.hold == "untilApproved" else False
        early = early or (isinstance(step.hold, timedelta) and entry.at < record.since + step.hold)
        assert not early, f"I2: step {record.step} of {record.release} is left before its hold is over"
        for check in (c for c in spec.rollout.analysis if c.probe is not None and not c.dry_run):
            samples = sum(self._samples(entry.model, record, check.name))
            assert samples >= check.samples_needed, f"I2: step {record.step} of {record.release} is left unproven"

    def _samples(self, name: str, record: RolloutRecord, check: str) -> Iterator[int]:
        for recorded in self.world.ledger.of.get(name, ()):
            entry, after = recorded.entry, recorded.entry.after
            made = entry.action == "Analyse" and entry.result is Result.DONE and after.get("check") == check
            same = (after.get("release"), after.get("step")) == (str(record.release), record.step)
            if made and same and after["error"] is None and entry.at >= record.since:
                yield after["candidate"]["requests"]

    def _trained(self, entry: Entry, spec: ModelSpec) -> None:
        key = entry.after["key"]
        running = [r.key for r in self.world.training.all.get(entry.model, ()) if r.state is RunState.RUNNING]
        assert not set(running) - {key}, f"I5: {key} is trained beside {running}"
        there = [v.version for v in self.versions(entry.model) if v.tags.get(TAG_TRAINING_KEY) == key]
        assert not there, f"I5: {key} is trained again, though it made {there}"
        failed = [r for r in self.world.training.all.get(entry.model, ()) if (r.key, r.state) == (key, RunState.FAILED)]
        if failed and failed[-1].finished_at is not None and spec.training is not None:
            again = failed[-1].finished_at + spec.training.retries.backoff * 2 ** (len(failed) - 1)
            assert entry.at >= again, f"I5: {key} is tried again before its pause is over"

    def _paced(self, entry: Entry) -> None:
        before, self.put_back[entry.model] = self.put_back.get(entry.model), entry
        at_once = before is not None and timedelta() <= entry.at - before.at < PAUSE
        assert not at_once, f"I10: {entry.model} is put back twice without a pause"

    def _nothing_left(self, name: str, spec: ModelSpec) -> None:
        if spec.retention.on_removal is OnRemoval.RETAIN:
            return
        left = [key for key in self.world.serving.live if key[1] == name]
        assert not left, f"removal: {name} is let go, but {left} serve"
        roles = [v.version for v in self.versions(name) if role(v) is not Stage.ARCHIVED]
        model = self.world.registry.models.get(name)
        ours = model is not None and TAG_MANAGED in model.tags
        assert not roles or not ours, f"removal: {name} is let go, but {roles} are not archived"
        runs = self.world.training.all.get(name, ()) if spec.training else ()
        running = [r.run_id for r in runs if r.state is RunState.RUNNING]
        assert not running, f"removal: {name} is let go, but {running} go on"

    def _written(self, what: str) -> None:
        if what.startswith("registry.delete "):
            desired = self._desired(what.removeprefix("registry.delete "))
            asked = desired is not None and desired.removed and desired.spec.retention.on_removal is OnRemoval.DELETE
            assert asked, f"I3: {what}, though Git does not ask for that"

    def _deleted(self, key: Key) -> None:
        desired = self._desired(key[1])
        if desired is None or desired.removed or desired.spec.serving is None or self.world.serving.lagging:
            return
        there = self.world.serving.live.get((desired.spec.serving.namespace, key[1]))
        served = there is not None and there.shares and all(s.revision in there.ready for s in there.shares)
        assert served, f"I2: {key} is taken down before the model is served where Git wants it"


def _both(first: Callable[[T], None], then: Callable[[T], None]) -> Callable[[T], None]:
    def each(what: T) -> None:
        first(what)
        then(what)

    return each
