"""What each action does to a world in which all goes well. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import assert_never

from reconciler.analysis.metering import perfect
from reconciler.desired.checks import Check
from reconciler.desired.holds import UNTIL_APPROVED
from reconciler.desired.question import question_of
from reconciler.desired.state import DesiredModel
from reconciler.observed import (
    KNATIVE,
    TAG_GATES,
    TAG_REJECTED,
    TAG_ROLLOUT,
    TAG_TRAINING_KEY,
    InferenceService,
    JobRun,
    Known,
    Measurement,
    Memory,
    ModelVersion,
    ObservedModel,
    Order,
    OrderKind,
    RegisteredModel,
    Rejection,
    Release,
    Side,
    Stage,
    TrafficTarget,
)
from reconciler.plan.action import (
    Action,
    Adopt,
    Analyse,
    Archive,
    ArchiveAll,
    BeginStep,
    CutTraffic,
    DeleteModel,
    Deploy,
    FinishRollback,
    LetGo,
    Promote,
    PutBack,
    RecordGates,
    Reject,
    RestoreStable,
    RouteAll,
    ScaleCanary,
    ShiftTraffic,
    StageCandidate,
    StartCanary,
    StopTraining,
    TakeDown,
    Train,
    Withdraw,
)
from reconciler.plan.facts import passed_mark, rollout_of, wanted_digest
from reconciler.plan.hold import is_open
from reconciler.plan.marks import RolloutRecord, rejection_to_tag

NEVER = datetime.min.replace(tzinfo=UTC)
GOES_WRONG = "its rollout went wrong"


def effect(action: Action, desired: DesiredModel, world: ObservedModel, now: datetime) -> ObservedModel:
    """Return the world after an action that went well and ended just now."""
    match action:
        case Train():
            return _train(action, desired, world, now)
        case Deploy() | PutBack() | Adopt():
            return _deploy(action.release, desired, world)
        case RestoreStable() if (live := _live(world)) is not None and live.standard:
            return _without_canary(live, action.release, world)
        case StartCanary() | RestoreStable():
            return _new_template(world, action.release)
        case ShiftTraffic() | ScaleCanary() | CutTraffic() | RouteAll() | FinishRollback() | TakeDown():
            return _traffic(action, world, now)
        case _:
            return _records(action, desired, world, now)


def _traffic(
    action: ShiftTraffic | ScaleCanary | CutTraffic | RouteAll | FinishRollback | TakeDown,
    world: ObservedModel,
    now: datetime,
) -> ObservedModel:
    match action:
        case ScaleCanary():
            return _scale(action, world)
        case ShiftTraffic():
            return _shift(action.percent, world)
        case CutTraffic():
            return _cut(action, world, now)
        case RouteAll() | FinishRollback():
            return _shift(None, world)
        case TakeDown():
            return _down(action, world)
    assert_never(action)


def _records(  # noqa: C901, PLR0911  one line an action
    action: StopTraining | RecordGates | StageCandidate | BeginStep | Analyse | Promote | Archive | Reject | Withdraw
    | ArchiveAll | DeleteModel | LetGo,
    desired: DesiredModel,
    world: ObservedModel,
    now: datetime,
) -> ObservedModel:  # fmt: skip
    match action:
        case StopTraining():
            return _stop(action, world, now)
        case RecordGates():
            return _gates(action, world)
        case StageCandidate():
            return _stage(action, desired, world, now)
        case BeginStep():
            return _begin(action, desired, world)
        case Analyse():
            return _analyse(action, desired, world, now)
        case Promote():
            return _promote(action, world)
        case Archive():
            return _archive((action.version,), world)
        case ArchiveAll():
            return _archive(action.versions, world)
        case Reject() | Withdraw():
            return _close(action, world, now)
        case DeleteModel():
            return replace(world, registry=Known(None, now))
        case LetGo():
            return world
    assert_never(action)


def _versions(
    world: ObservedModel, change: Callable[[ModelVersion], ModelVersion], *more: ModelVersion
) -> ObservedModel:
    reading = world.registry
    model = reading.value if isinstance(reading, Known) and reading.value else RegisteredModel("forecast", ())
    changed = replace(model, versions=(*map(change, model.versions), *more))
    return replace(world, registry=Known(changed, reading.at if isinstance(reading, Known) else NEVER))


def _same(version: ModelVersion) -> ModelVersion:
    return version


def _tagged(version: ModelVersion, key: str, value: str | None) -> ModelVersion:
    rest = {k: v for k, v in version.tags.items() if k != key}
    return replace(version, tags=rest if value is None else {**rest, key: value})


def _staged(version: ModelVersion, number: int, stage: Stage) -> ModelVersion:
    if version.version == number:
        return replace(version, stage=stage, aliases=frozenset())
    holds_it = version.stage is stage and stage in (Stage.PRODUCTION, Stage.STAGING)
    return replace(version, stage=Stage.ARCHIVED, aliases=frozenset()) if holds_it else version


def _live(world: ObservedModel) -> InferenceService | None:
    return world.serving.value if isinstance(world.serving, Known) else None


def _with_live(world: ObservedModel, live: InferenceService | None) -> ObservedModel:
    at = world.serving.at if isinstance(world.serving, Known) else NEVER
    return replace(world, serving=Known(live, at), drift=None)


def _train(action: Train, desired: DesiredModel, world: ObservedModel, now: datetime) -> ObservedModel:
    model = world.registry.value if isinstance(world.registry, Known) else None
    number = max((v.version for v in model.versions), default=0) + 1 if model else 1
    tags = {TAG_TRAINING_KEY: action.key, TAG_GATES: passed_mark(desired.spec)}
    return _versions(world, _same, ModelVersion(number, Stage.NONE, frozenset(), tags, "", "", now))


def _stop(action: StopTraining, world: ObservedModel, now: datetime) -> ObservedModel:
    runs = world.runs.value if isinstance(world.runs, Known) else ()
    return replace(world, runs=Known(tuple(r for r in runs if r.run_id != action.run_id), now))


def _gates(action: RecordGates, world: ObservedModel) -> ObservedModel:
    return _versions(world, lambda v: _tagged(v, TAG_GATES, action.verdict) if v.version == action.version else v)


def _revision(live: InferenceService | None) -> str:
    last = (live.latest_created or "").rpartition("-")[2] if live else ""
    return f"forecast-{int(last) + 1 if last.isdecimal() else 1:05d}"


def _deploy(release: Release, desired: DesiredModel, world: ObservedModel) -> ObservedModel:
    live = _live(world)
    revision, namespace = _revision(live), desired.spec.serving.namespace if desired.spec.serving else ""
    traffic = (TrafficTarget(revision, 100, "latest", latest=True, url="http://forecast"),)
    deployed = InferenceService(
        namespace, desired.name, "forecast", "1", 1, True, "", release, None, True, "", traffic, revision, revision,
        revision, {**(live.revisions or {} if live else {}), revision: release}, mode=_mode(desired),
    )  # fmt: skip
    return _with_live(world, deployed)


def _mode(desired: DesiredModel) -> str:
    return desired.spec.serving.mode.value if desired.spec.serving else KNATIVE


def _stage(action: StageCandidate, desired: DesiredModel, world: ObservedModel, now: datetime) -> ObservedModel:
    wanted = wanted_digest(desired.spec)
    record = RolloutRecord(action.release, action.stable, action.stable_revision, 0, now, now, wanted)
    number = action.release.version

    def change(version: ModelVersion) -> ModelVersion:
        if version.version == number and version.stage is not Stage.PRODUCTION:
            version = _staged(version, number, Stage.STAGING)
        elif version.version != number and version.stage is Stage.STAGING:
            version = _staged(version, version.version, Stage.ARCHIVED)
        return _tagged(version, TAG_ROLLOUT, record.to_tag() if version.version == number else None)

    memory = Memory(rejections=world.memory.rejections, orders=world.memory.orders)
    return replace(_versions(world, change), memory=memory)


def _split(live: InferenceService, percent: int | None, stable: str) -> InferenceService:
    newest = live.latest_ready or ""
    if percent is None or newest == stable:
        traffic: tuple[TrafficTarget, ...] = (TrafficTarget(newest, 100, "latest", latest=True, url="http://forecast"),)
        left = live.revisions if not live.standard else {newest: (live.revisions or {}).get(newest)}
        return replace(
            live, canary_percent=percent, traffic=traffic, latest_rolledout=newest, beside=None, revisions=left
        )
    traffic = (
        TrafficTarget(newest, percent, "latest", latest=True, url="http://forecast"),
        TrafficTarget(stable, 100 - percent, "prev", url="http://forecast"),
    )
    return replace(live, canary_percent=percent, traffic=traffic)


def _stable(live: InferenceService) -> str:
    return live.latest_rolledout or ""


def _new_template(world: ObservedModel, release: Release) -> ObservedModel:
    live = _live(world)
    if live is None:
        return world
    revision, stable = _revision(live), _stable(live)
    revised = replace(
        live,
        release=release,
        latest_created=revision,
        latest_ready=revision,
        revisions={**(live.revisions or {}), revision: release},
        beside=(live.beside or live.release) if live.standard else None,
    )
    return _with_live(world, _split(revised, 0, stable))


def _without_canary(live: InferenceService, release: Release, world: ObservedModel) -> ObservedModel:
    """Take the canary away in Standard mode; the stable predictor never left."""
    stable = replace(live, release=release, beside=None, latest_created=_stable(live), latest_ready=_stable(live))
    return _with_live(world, _split(stable, None, _stable(live)))


def _shift(percent: int | None, world: ObservedModel) -> ObservedModel:
    live = _live(world)
    return _with_live(world, _split(live, percent, _stable(live))) if live else world


def _scale(action: ScaleCanary, world: ObservedModel) -> ObservedModel:
    live = _live(world)
    if live is None:
        return world
    available = {**live.available, live.latest_created or "": action.pods}
    return _with_live(world, replace(live, canary_pods=action.pods, available=available))


def _begin(action: BeginStep, desired: DesiredModel, world: ObservedModel) -> ObservedModel:
    begun = desired.spec.rollout.course[action.step - 1]
    rollout = rollout_of(world.registry.value) if isinstance(world.registry, Known) else None
    if rollout is not None and begun.hold == UNTIL_APPROVED:  # when somebody approves cannot be known: at once
        order = Order(OrderKind.APPROVE, "", "", action.since, rollout.wanted, rollout.release, rollout.started)
        orders = (*world.memory.orders, replace(order, step=action.step))
        world = replace(world, memory=replace(world.memory, orders=orders))

    def change(version: ModelVersion) -> ModelVersion:
        record = RolloutRecord.from_tag(version.tags.get(TAG_ROLLOUT))
        if record is None:
            return version
        percent, waits = begun.traffic, is_open(begun)
        changed = replace(record, step=action.step, since=action.since, percent=percent, waits=waits)
        return _tagged(version, TAG_ROLLOUT, changed.to_tag())

    return _versions(world, change)


def _analyse(action: Analyse, desired: DesiredModel, world: ObservedModel, now: datetime) -> ObservedModel:
    check = next(c for c in desired.spec.rollout.analysis if c.name == action.check)
    measured = replace(_perfect(check, action, now), question=question_of(check, desired.files))
    memory = replace(world.memory, measurements=(*world.memory.measurements, measured))
    return replace(world, memory=memory)


def _perfect(check: Check, action: Analyse, now: datetime) -> Measurement:
    """Return a measurement that passes; what a query would say cannot be known."""
    if check.prometheus is not None:
        metering = perfect(check, check.prometheus)
        return Measurement(check.name, action.release, action.step, now, Side(0, 0), Side(0, 0), metering=metering)
    count = check.probe.requests if check.probe is not None else 0
    side = Side(count, 0, (1.0,) * count)
    made = Measurement(check.name, action.release, action.step, now, side, side, count, count)
    run = JobRun("", 0) if check.job is not None else None
    return replace(made, shape_compared=count, shape_agreed=count, job=run)


def _promote(action: Promote, world: ObservedModel) -> ObservedModel:
    def change(version: ModelVersion) -> ModelVersion:
        bare = _tagged(_tagged(version, TAG_ROLLOUT, None), TAG_REJECTED, None)
        return _staged(bare, action.version, Stage.PRODUCTION)

    return _versions(world, change)


def _archive(versions: tuple[int, ...], world: ObservedModel) -> ObservedModel:
    return _versions(world, lambda v: _staged(v, v.version, Stage.ARCHIVED) if v.version in versions else v)


def _close(action: Reject | Withdraw, world: ObservedModel, now: datetime) -> ObservedModel:
    number = action.release.version

    def change(version: ModelVersion) -> ModelVersion:
        bare = _tagged(version, TAG_ROLLOUT, None)
        if version.version != number:
            return bare
        if isinstance(action, Reject):  # or it would be foretold to be tried again
            mark = rejection_to_tag(Rejection(action.release, action.wanted, GOES_WRONG, now))
            bare = _tagged(bare, TAG_REJECTED, mark)
        return _staged(bare, number, action.stage)

    return _versions(world, change)


def _cut(action: CutTraffic, world: ObservedModel, now: datetime) -> ObservedModel:
    rejection = Rejection(action.release, action.wanted, GOES_WRONG, now, action.started)
    rejected = replace(world, memory=replace(world.memory, rejections=(*world.memory.rejections, rejection)))
    return _shift(0, rejected)


def _down(action: TakeDown, world: ObservedModel) -> ObservedModel:
    strays = tuple(s for s in world.strays if s.uid != action.uid)
    live = _live(world)
    gone = _with_live(world, None) if live is not None and live.uid == action.uid else world
    return replace(gone, strays=strays)
