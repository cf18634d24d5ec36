"""Stand for everything that what comes next depends on, so that a run that meets a known state need not go on.

Times count by their age in whole seconds, as every deadline, hold and interval of the stories is a whole number of
them. What is left out is named in `KNOWN` with its reason; a field that nobody named is taken in as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from reconciler.observe import Observer
from reconciler.observed import TAG_REJECTED, TAG_ROLLOUT, InferenceService, Known, ModelVersion, RegisteredModel
from reconciler.plan.facts import ROUTED_WITHIN, rollout_of
from reconciler.plan.marks import RolloutRecord, rejection_from_tag
from reconciler.ports import Moment, Recorded
from reconciler.reconcile import ModelReconciler
from tests.simulation.faults import Faults
from tests.simulation.invariants import Exposure, Truth
from tests.simulation.registry import SimRegistry
from tests.simulation.serving import Live, SimServing
from tests.simulation.systems import SimLedger, SimMemory, SimProber, SimSource, SimTraining
from tests.simulation.world import World

Part = tuple[object, ...]
_NUMBERS = itertools.count()
_SECOND = timedelta(seconds=1)
# Older than every constant that a run's end is held against: back-off, and the registry's lag.
_LONG_AGO = 150
_ROUTED = ROUTED_WITHIN // _SECOND
_LIVE = frozenset({"ready", "updating", "applied_at", "down", "lost", "short", "steady"})

# The fields that `digest` looks at itself, or that nothing depends on.
KNOWN: Mapping[type, frozenset[str]] = {
    # The story so far, and hooks; `under_way` is looked at.
    Faults: frozenset({"choose", "clock", "log", "calls", "delay", "pause", "before_write", "after_write", "on_call",
                       "under_way", "trace"}),
    # Metrics never change; writes are counted; the past is for stale answers alone.
    SimRegistry: frozenset({"faults", "models", "metrics", "writes", "past", "numbers", "turns"}),
    # Of the watches only the one at work counts: a replica that takes over begins anew.
    SimServing: frozenset({"faults", "clock", "live", "never_ready", "writes", "uids", "blind", "lagging",
                           "before_delete", "viewer", "_seen_by"}),
    SimTraining: frozenset({"faults", "registry", "clock", "outcomes", "all", "server_ids", "started",
                            "registers_late"}),
    SimLedger: frozenset({"faults", "records", "of", "on_entry"}),
    SimMemory: frozenset({"faults", "specs", "kept", "claims", "lines"}),
    SimProber: frozenset({"faults", "bad", "serving"}),
    # Every commit is made by a stage of the story, which the run counts; what is followed is published.
    SimSource: frozenset({"memory", "clock", "specs", "seen", "policy", "history", "viewer", "published_by",
                          "followed_by", "broken", "unreadable"}),
    Truth: frozenset({"registry", "serving", "training", "ledger", "source", "prober", "edited", "exposures",
                      "intended"}),
    # _fresh and _reread are begun anew by the bulk read of each pass; _by_name is worked out; health is only shown.
    Observer: frozenset({"systems", "evidence_ttl", "registry", "_lock", "_fresh", "_reread", "_written", "_evidence",
                         "_in_flight", "_unsettled", "_by_name", "health", "_orders_lock"}),
    # _applied and _source_status are only shown.
    ModelReconciler: frozenset({"source", "systems", "observer", "training_poll", "_wishes", "_source_status",
                                "_unread", "_rewrite", "_statuses", "_applied", "_lock", "_ordering", "leads"}),
}  # fmt: skip
WORLD = frozenset({
    "now", "faults", "bad", "registry", "serving", "training", "ledger", "memory", "source", "prober", "truth",
    "crashes", "passes", "processes", "leader", "holder", "paused", "after_pause", "meanwhile", "pause_seconds",
    "reads_all", "metrics", "jobs",
})  # fmt: skip
_NEW = {kind: tuple(f.name for f in fields(kind) if f.name not in known) for kind, known in KNOWN.items()}


def digest(world: World) -> int:
    """Return a number that two worlds share if the same happens in both from here on."""
    systems = (_registry(world), _serving(world), _training(world), _ledger(world), _memory(world.memory))
    others = (_source(world.source), _truth(world.truth), _process(world), _under_way(world))
    return hash((systems, others, tuple(sorted(world.bad)), tuple(_unnamed(world))))


def _under_way(world: World) -> Part:
    """Take a request that may still land for one like no other."""
    return tuple(next(_NUMBERS) for _ in world.faults.under_way)


def _age(world: World, at: datetime | None) -> int | None:
    return None if at is None else (world.now - at) // _SECOND


def _unnamed(world: World) -> Iterator[object]:
    for value in (
        world.faults, world.registry, world.serving, world.training, world.ledger, world.memory, world.source,
        world.prober, world.truth, world.observer, world.reconciler,
    ):  # fmt: skip
        for name in _NEW.get(type(value), ()):
            yield name, repr(getattr(value, name))
    for name in vars(world).keys() - WORLD:
        yield name, repr(getattr(world, name))


def _registry(world: World) -> Part:
    models = tuple((name, _registered(world, model)) for name, model in sorted(world.registry.models.items()))
    return (models, *sorted(world.registry.numbers.items()), *sorted(world.registry.turns.items()))


def _registered(world: World, model: RegisteredModel) -> Part:
    return (_hashed(sorted(model.tags.items())), tuple(_version(world, v) for v in model.versions))


def _version(world: World, version: ModelVersion) -> Part:
    """When a version was made matters to nobody: no story trains by time."""
    tags = [(key, _tag(world, key, value)) for key, value in version.tags.items()]
    return (version.version, version.stage, version.aliases, version.ready, tuple(sorted(tags)))


def _tag(world: World, key: str, value: str) -> object:
    if key == TAG_ROLLOUT and (record := RolloutRecord.from_tag(value)):
        own = (record.release, record.stable, record.stable_revision, record.step, record.percent, record.namespace)
        return (own, record.wanted, _age(world, record.since), _age(world, record.started))
    if key == TAG_REJECTED and (rejection := rejection_from_tag(value)):
        return (rejection.release, rejection.wanted)
    return value


def _serving(world: World) -> Part:
    serving = world.serving
    live = tuple((key, _live(world, x), _shown(world, key, x)) for key, x in sorted(serving.live.items()))
    gone = tuple(sorted(serving._seen.keys() - serving.live.keys()))
    return (live, gone, serving.uids, serving.blind, serving.lagging, tuple(sorted(serving.never_ready)))


def _live(world: World, live: Live) -> Part:
    down, steady = (
        tuple((name, min(_age(world, since) or 0, _ROUTED)) for name, since in sorted(times.items()))
        for times in (live.down, live.steady)
    )
    sets = (
        tuple(sorted(live.ready)),
        tuple(sorted(live.updating)),
        _routed(world, live),
        down,
        steady,
        tuple(sorted(live.short)),
        tuple(sorted(live.lost)),
    )
    return tuple(repr(getattr(live, f.name)) for f in fields(live) if f.name not in _LIVE) + sets


def _routed(world: World, live: Live | InferenceService) -> int | None:
    """Return how long a route had to follow; only canaries of Standard mode are given up on."""
    age = _age(world, live.applied_at) if live.standard else None
    return None if age is None else min(age, _ROUTED)


def _shown(world: World, key: Any, live: Live) -> object:
    """Return what the watch shows, None when that is how it is."""
    seen = world.serving._seen.get(key)
    if seen is None or (seen.uid, seen.resource_version) == (live.uid, str(live.resource_version)):
        return seen is None
    return repr(replace(seen, applied_at=None, unready_since={}, steady_since={})), _routed(world, seen)


def _training(world: World) -> Part:
    runs = []
    for model, all_of in sorted(world.training.all.items()):
        for run in all_of:
            ended = _age(world, run.finished_at)
            age = _age(world, run.created_at) if ended is None else min(ended, _LONG_AGO)
            runs.append((model, run.key, run.attempt, run.run_id, run.state, run.cause, age))
    return (tuple(runs), tuple(world.training.started), world.training.settle_seconds)


def _ledger(world: World) -> Part:
    """Return what is read back of the ledger, and whether the last intent stands without an outcome."""
    last = world.ledger.records[-1].entry if world.ledger.records else None
    still = (last.moment, last.model, last.action) if last is not None and last.moment is Moment.INTENT else None
    return (still, *(_records(world, name) for name in sorted(world.ledger.of)))


def _records(world: World, name: str) -> Part:
    model = world.registry.models.get(name)
    rollout = rollout_of(model) if model else None
    return tuple(part for r in world.ledger.of[name] if (part := _record(world, r, rollout)) is not None)


def _record(world: World, recorded: Recorded, rollout: RolloutRecord | None) -> Part | None:
    entry = recorded.entry
    reading = _READINGS.get(entry.action)
    return reading(world, recorded, rollout) if reading else None


def _cut(_: World, recorded: Recorded, rollout: RolloutRecord | None) -> Part | None:
    """Only the decision against the rollout in progress counts; what became of older ones is in the tags."""
    entry = recorded.entry
    ours = rollout is not None and entry.after.get("started") == rollout.started.isoformat()
    return (entry.moment, entry.after.get("wanted"), entry.reason) if ours else None


def _measured(world: World, recorded: Recorded, rollout: RolloutRecord | None) -> Part | None:
    """Measurements count from the beginning of the rollout's running step on."""
    entry = recorded.entry
    if rollout is None or entry.result is None or entry.at < rollout.since:
        return None
    values = {key: value for key, value in entry.after.items() if key != "at"}
    return ("measured", _age(world, entry.at), repr(values))


def _put_back(world: World, recorded: Recorded, _: RolloutRecord | None) -> Part | None:
    age = _age(world, recorded.entry.at)
    return ("put back", recorded.entry.moment, age) if age is not None and age <= 3600 else None


def _trained(world: World, recorded: Recorded, _: RolloutRecord | None) -> Part | None:
    """Count an intent for as long as its request may still be carried out."""
    entry, settle = recorded.entry, world.training.settle_seconds
    age = _age(world, entry.at) or 0
    return ("trained", entry.moment, entry.result, repr(entry.after), min(age, int(settle) + 1))


_Reading = Callable[[World, Recorded, RolloutRecord | None], Part | None]
_READINGS: dict[str, _Reading] = {"CutTraffic": _cut, "Analyse": _measured, "PutBack": _put_back, "Train": _trained}


def _memory(memory: SimMemory) -> Part:
    specs = tuple(
        (name, id(model.spec), model.commit.id, model.removed) for name, model in sorted(memory.specs.items())
    )
    kept = tuple((name, tuple(sorted(records))) for name, records in sorted(memory.kept.items()))
    return (specs, kept, tuple(sorted(memory.claims)), tuple(sorted(memory.lines.items())))


def _source(source: SimSource) -> Part:
    """Specs are made once for all runs, so each is known by its identity."""
    specs = tuple((name, id(spec)) for name, spec in sorted(source.specs.items()))
    commits = tuple((name, model.commit.id) for name, model in sorted(source.seen.items()))
    return (specs, commits, source.broken, source.unreadable, _wishes(source.published), id(source.policy))


def _wishes(state: Any) -> object:
    if state is None:
        return None
    models = sorted(state.models.values(), key=lambda m: m.name)
    return (state.commit.id, *((m.name, id(m.spec), m.commit.id, m.removed, len(m.stale)) for m in models))


def _truth(truth: Truth) -> Part:
    known = tuple((name, _exposure(exposure)) for name, exposure in sorted(truth.exposures.items()))
    intended = [(entry.model, entry.action) for entry in truth.intended[truth.serving.viewer].values()]
    return (known, tuple(sorted(truth.edited)), tuple(sorted(intended)))


def _exposure(exposure: Exposure) -> Part:
    pairs = (tuple(sorted(exposure.allowed.items())), tuple(sorted(exposure.cut.items())))
    return (*pairs, tuple(sorted(exposure.out)), tuple(sorted(exposure.promoted)))


def _process(world: World) -> Part:
    observer, reconciler = world.observer, world.reconciler
    picture = _picture(world, observer) if isinstance(observer.registry, Known) else observer.registry.why
    looks = tuple((n, _due(world, s.look_again_at)) for n, s in sorted(reconciler._statuses.items()))
    believed = (picture, tuple(sorted(observer._written)), tuple(_evidence(world, observer)))
    known = reconciler._wishes
    guard = known.rules.removal_guard if known else ""
    wishes = (_wishes(known.state if known else None), guard, reconciler._unread, reconciler._rewrite)
    unsettled = tuple((n, _due(world, u.until), u.archives) for n, u in sorted(observer._unsettled.items()))
    leads = (world.leader == world.holder, world.paused)
    return (believed, wishes, tuple(sorted(observer._in_flight)), unsettled, looks, leads)


def _due(world: World, at: datetime | None) -> int | None:
    """Return in how many seconds it is due; what is due by now is due, however long already."""
    return None if at is None else max(-1, (at - world.now) // _SECOND)


def _picture(world: World, observer: Observer) -> object:
    """Return what the process believes of the registry, None when that is how it is."""
    believed = observer.registry.value if isinstance(observer.registry, Known) else {}
    if believed == world.registry.models:
        return None
    return tuple((name, _registered(world, model)) for name, model in sorted(believed.items()))


def _evidence(world: World, observer: Observer) -> Iterator[object]:
    """Return what is remembered of metrics; what is too old is read again."""
    for key, kept in sorted(observer._evidence.items()):
        age = world.now - kept.read_at
        if timedelta() <= age <= observer.evidence_ttl:
            yield key, isinstance(kept.reading, Known), age // _SECOND


def _hashed(items: list[tuple[str, str]]) -> Part:
    return tuple(items)
