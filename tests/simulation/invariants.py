"""What must always hold (I1 to I7 of the design), checked on a truth that the reconciler cannot see."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.desired.documents import OnRemoval, Rollout
from reconciler.desired.state import DesiredModel
from reconciler.observed import TAG_GATES, Release, RunState, Stage
from reconciler.plan.facts import rollout_of, wanted_digest
from reconciler.plan.orders import ACTIONS as ORDERS
from reconciler.ports import Entry, Moment, Result
from reconciler.registry_roles import role
from tests.simulation.registry import SimRegistry
from tests.simulation.serving import Key, SimServing
from tests.simulation.systems import SimLedger, SimProber, SimSource, SimTraining

MOST_ATTEMPTS = 3
EVERYTHING = 100


def gives_all(entry: Entry, rollout: Rollout) -> bool:
    """Tell whether this ends the steps; in Standard mode the share does that, before the split goes."""
    all_at_once = entry.action == "ShiftTraffic" and entry.after["percent"] == EVERYTHING
    return entry.action == "RouteAll" or (all_at_once and all(s.traffic != EVERYTHING for s in rollout.course))


@dataclass(slots=True)
class Exposure:
    """What callers of one model may be sent to: the share that each release was allowed, and who was rolled back.

    `promoted` are those that callers had.
    """

    allowed: dict[Release, int] = field(default_factory=dict)
    cut: dict[Release, str] = field(default_factory=dict)
    out: set[Release] = field(default_factory=set)
    promoted: set[Release] = field(default_factory=set)


@dataclass(slots=True)
class Truth:
    """Looks at everything after every event. `edited` are models whose roles a person moved, until one is promoted."""

    registry: SimRegistry
    serving: SimServing
    training: SimTraining
    ledger: SimLedger
    source: SimSource
    prober: SimProber
    edited: set[str] = field(default_factory=set)
    orders: dict[str, list[Entry]] = field(default_factory=dict)
    exposures: dict[str, Exposure] = field(default_factory=dict)
    intended: dict[int, dict[int, Entry]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledger.on_entry = self._entered
        self.ledger.faults.before_write = self._written
        self.ledger.faults.after_write = self.check_all
        self.serving.before_delete = self._deleted

    def check(self, name: str) -> None:
        """Hold the invariants of one model."""
        self._trainings(name)
        try:
            self._roles(name)
            self._archived(name)
        except AssertionError:
            if name not in self.edited:
                raise
        for key in self.serving.live:
            if key[1] == name:
                self._traffic(name, key)

    def check_all(self) -> None:
        """Hold the invariants of every model."""
        for name in sorted(self.registry.models.keys() | {key[1] for key in self.serving.live}):
            self.check(name)

    def began(self) -> None:
        """Note that the replica at work begins anew: what it intended before, it does not do any more."""
        self.intended[self.serving.viewer] = {}

    def exposure(self, name: str) -> Exposure:
        """Return what is known of a model's callers."""
        return self.exposures.setdefault(name, Exposure())

    def _roles(self, name: str) -> None:
        model = self.registry.models.get(name)
        versions = model.versions if model else ()
        production = [v for v in versions if role(v) is Stage.PRODUCTION]
        assert len(production) <= 1, f"I1: several versions in Production: {[v.version for v in production]}"
        for v in production:
            assert v.tags.get(TAG_GATES, "").startswith("passed "), f"I1: {v.version} in Production without gates"

    def _archived(self, name: str) -> None:
        model = self.registry.models.get(name)
        for key in self.serving.live:
            for number in self.serving.shares(key) if key[1] == name else ():
                version = model.get(number) if model and number else None
                archived = version is not None and role(version) is Stage.ARCHIVED
                assert not archived or self.serving.live[key].flipped, (
                    f"I3: {number} gets traffic in {key} and is archived"
                )

    def _traffic(self, name: str, key: Key) -> None:
        live = self.serving.live[key]
        if not live.shares:
            return
        releases = self.serving.releases(key)
        assert sum(releases.values()) == 100, f"I2: traffic adds up to {releases}"
        for share in live.shares:
            came_up = share.revision in live.ready | live.lost
            assert not share.percent or came_up, f"I2: callers go to {share.revision}, which never came up"
        for release, percent in releases.items():
            if release is not None:
                self._share(name, release, percent, flipped=live.flipped)
        exposure = self.exposure(name)
        for release in exposure.cut:
            if not self._has_traffic(name, release) and not self._asked(name):
                exposure.out.add(release)

    def _share(self, name: str, release: Release, percent: int, *, flipped: bool) -> None:
        model = self.registry.models.get(name)
        version = model.get(release.version) if model else None
        assert version is not None, f"traffic goes to {release}, which is not registered"
        proven = version.tags.get(TAG_GATES, "").startswith("passed ")
        assert proven, f"I1: {release} gets traffic without passed gates: {version.tags.get(TAG_GATES)}"
        if flipped:
            return
        exposure = self.exposure(name)
        allowed = exposure.allowed.get(release, 0)
        assert percent <= allowed, f"I2: {release} gets {percent} %, but was allowed {allowed} %"
        if release in exposure.out and self._wanted(name) == exposure.cut[release]:
            raise AssertionError(f"I7: {release} was rolled back and gets {percent} % again")

    def _wanted(self, name: str) -> str | None:
        state = self.source.published
        desired = state.models.get(name) if state else None
        return None if desired is None else wanted_digest(desired.spec)

    def published(self) -> None:
        """Forget rollbacks of wishes that Git has changed since."""
        for name, exposure in self.exposures.items():
            wanted = self._wanted(name)
            for release, under in list(exposure.cut.items()):
                if under != wanted:
                    exposure.cut.pop(release)
                    exposure.out.discard(release)

    def _trainings(self, name: str) -> None:
        started = self.training.started
        assert len(set(started)) == len(started), f"I5: started twice: {started}"
        by_key: dict[str, list[RunState]] = {}
        for run in self.training.all.get(name, ()):
            by_key.setdefault(run.key, []).append(run.state)
        for key, states in by_key.items():
            assert states.count(RunState.RUNNING) <= 1, f"I5: {key} is trained twice at once"
            assert states.count(RunState.SUCCEEDED) <= 1, f"I5: {key} was trained twice"
            more = sum(o.action == "OrderRetry" and o.after.get("key") == key for o in self.orders.get(name, ()))
            assert states.count(RunState.FAILED) <= MOST_ATTEMPTS * (1 + more), f"I5: {key} failed {states}"

    def _written(self, what: str) -> None:
        intended = self.intended[self.serving.viewer].values()
        assert intended, f"I6: {what} without an intent on the ledger"
        assert any(entry.model in what for entry in intended), f"I6: {what} under the intent of another model"

    def _deleted(self, key: Key) -> None:
        state = self.source.published
        assert state is not None
        desired = state.models.get(key[1])
        assert desired is None or desired.spec.retention.prune, f"I4: {key} is deleted, but is never to be"
        if desired is None or not desired.removed:
            elsewhere = desired is not None and (
                desired.spec.serving is None or desired.spec.serving.namespace != key[0]
            )
            assert elsewhere, f"I4: {key} is deleted, but Git wants it"
            if desired is not None and desired.spec.serving is None:
                self._within_limits()
            return
        assert not state.unreadable, f"I4: {key} is deleted while a file cannot be read"
        assert desired.spec.retention.on_removal is not OnRemoval.RETAIN, f"I4: {key} is deleted, but was to be kept"
        self._within_limits()

    def _within_limits(self) -> None:
        state = self.source.published
        assert state is not None
        gone, limits = sum(map(self._goes, state.models.values())), state.policy.deletion
        beyond = gone > limits.models and gone > limits.share * len(state.models)
        assert not beyond, f"I4: {gone} of {len(state.models)} models are being taken down"

    def _goes(self, model: DesiredModel) -> bool:
        """Tell whether Git wants the model taken down, as far as the replica at work can see that it is there."""
        if not model.spec.retention.prune or model.spec.suspend:
            return False
        if model.removed:
            return model.spec.retention.on_removal is not OnRemoval.RETAIN
        shown = self.serving.shown(model.name)
        return model.spec.serving is None and any(live.ours and not live.deleting for live in shown)

    def _intended(self, entry: Entry) -> None:
        intended = self.intended[self.serving.viewer]
        if entry.moment is Moment.INTENT:
            intended[self.ledger.records[-1].seq] = entry
        elif entry.attempt_of is not None:
            intended.pop(entry.attempt_of, None)

    def _promoted(self, entry: Entry) -> None:
        if entry.result is Result.DONE:
            self.edited.discard(entry.model)
        release = Release.parse(str(entry.after.get("release") or ""))
        if release is not None:
            self.exposure(entry.model).promoted.add(release)

    def _entered(self, entry: Entry) -> None:
        self._intended(entry)
        if entry.action == "Promote":
            self._promoted(entry)
        if entry.moment is Moment.NOTE and entry.action in ORDERS:
            self._ordered(entry)
        if entry.moment is not Moment.INTENT:
            return
        self._obeyed(entry)
        exposure, release = self.exposure(entry.model), Release.parse(str(entry.after.get("release") or ""))
        match entry.action:
            case "ArchiveAll" | "DeleteModel":
                self._within_limits()
            case "Deploy" | "RouteAll" | "Adopt" if release is not None:
                exposure.allowed[release] = 100
                self._is_good(entry, release)
            case "StartCanary" if release is not None:
                if not self._has_traffic(entry.model, release):
                    exposure.allowed[release] = 0
            case "ShiftTraffic" if release is not None:
                self._is_good(entry, release)
                exposure.allowed[release] = max(exposure.allowed.get(release, 0), int(entry.after["percent"]))
            case "CutTraffic" if release is not None:
                exposure.cut[release] = str(entry.after["wanted"])
                exposure.out.discard(release)

    def _ordered(self, entry: Entry) -> None:
        """Take note of what a person ordered: a release that is to be tried again may have callers again."""
        self.orders.setdefault(entry.model, []).append(entry)
        exposure, release = self.exposure(entry.model), Release.parse(str(entry.after.get("release") or ""))
        if entry.action == "OrderRetry" and release is not None:
            exposure.cut.pop(release, None)
            exposure.out.discard(release)
        if entry.action == "OrderAbort" and release is not None and self._has_traffic(entry.model, release):
            exposure.cut[release] = str(entry.after["wanted"])

    def _last_order(self, name: str) -> str:
        """Return the last word on the course of the rollout that is under way."""
        record = rollout_of(self.registry.models.get(name))
        if record is None:
            return ""
        about = (str(record.release), record.started.isoformat())
        ours = [o for o in self.orders.get(name, ()) if (o.after.get("release"), o.after.get("rollout")) == about]
        if any(order.action == "OrderAbort" for order in ours):
            return "OrderAbort"
        return next((o.action for o in reversed(ours)), "")

    def _obeyed(self, entry: Entry) -> None:
        """Hold that what was paused or aborted gets no more traffic."""
        more = entry.action in ("RouteAll", "StartCanary") or (
            entry.action == "ShiftTraffic" and int(entry.after["percent"]) > 0
        )
        last = self._last_order(entry.model)
        assert not more or last not in ("OrderPause", "OrderAbort"), f"{entry.action} in spite of {last}"

    def _has_traffic(self, name: str, release: Release) -> bool:
        return any(release in self.serving.releases(key) for key in self.serving.live if key[1] == name)

    def _asked(self, name: str) -> bool:
        """Tell whether a share is asked for, wherever the model is: it may still arrive."""
        return any(live.percent for key, live in self.serving.live.items() if key[1] == name)

    def _is_good(self, entry: Entry, release: Release) -> None:
        """Hold that a candidate that answers with errors is found out before it gets all traffic of those served."""
        desired = self.source.published.models.get(entry.model) if self.source.published else None
        promoted = self._last_order(entry.model) == "OrderPromote"
        if desired is None or promoted or not gives_all(entry, desired.spec.rollout):
            return
        rollout = desired.spec.rollout
        if release in self.exposure(entry.model).promoted and rollout.on_revert == "immediate":
            return  # callers had it before: going back takes no steps
        enforced = any(not check.dry_run for check in rollout.analysis)
        for live in [x for key, x in self.serving.live.items() if key[1] == entry.model]:
            sent = [share.revision for share in live.shares if share.percent]
            if all(live.releases.get(revision) == release for revision in sent):
                continue  # as stable had crashed: it is promoted to its end
            served = not live.seen_up.isdisjoint(sent)
            judged = served and rollout.course and enforced and live.releases.get(live.newest) == release
            bad = judged and self.prober.fails(release, live.templates.get(live.newest, ""))
            assert not bad, f"I2: {release} fails its callers and is given all traffic"
