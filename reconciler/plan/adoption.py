"""An InferenceService of the model's name that is not ours: left alone, until Git says that it is taken over.

Nothing of what it serves changes by that: its release is the version that its storageUri names, under its own fields,
or under Git's where these are among them. KServe copies labels to the pods, so our labels make one new revision of the
same release, to which KServe sends callers once it is ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.desired.digest import digest
from reconciler.desired.serving import Serving
from reconciler.manifest import serving_fields
from reconciler.observed import InferenceService, ModelVersion, Release, ReleaseRecord, Unknown
from reconciler.plan.action import Adopt
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.facts import Facts, settled
from reconciler.status import Health, Phase


def decide_adoption(facts: Facts, live: InferenceService) -> Decision:
    """Say whose object it is and what to do about it, or take it over where Git says so and nobody tracks it."""
    serving = facts.spec.serving
    where = f"InferenceService {live.namespace}/{live.name}"
    if live.tracked:
        advice = f"the model to get another name, or {live.tracked} to let go of it without deleting it"
        return _stall(f"{where} exists and is tracked by {live.tracked}, which would undo our changes", advice)
    if serving is None or not serving.adopt:
        what = f"{where} exists and belongs to {live.owner or 'somebody else'}"
        return _stall(what, "serving.adopt: true in Git, that object to be deleted, or the model to get another name")
    if live.deleting:
        return wait("the InferenceService to be deleted", Phase.DEPLOYING)
    if (unfit := _unfit(live, serving)) is not None:
        return _stall(f"{where} cannot be adopted: {unfit[0]}", unfit[1])
    if isinstance(facts.observed.locations, Unknown):
        return wait(f"the versions' locations: {facts.observed.locations.why}", Phase.DEPLOYING, Health.UNKNOWN)
    return _adopt(facts, live, serving, where)


def _stall(what: str, waits_for: str) -> Decision:
    return replace(stall(what, Phase.IDLE, waits_for, Health.UNKNOWN), cause="NotOurs")


def _unfit(live: InferenceService, serving: Serving) -> tuple[str, str] | None:
    """Say why the object cannot be taken over as it is, and what would help."""
    mode = (live.found or {}).get("mode", "")
    if mode != serving.mode:
        return f"it runs in {mode} mode, and Git asks for {serving.mode.value}", "serving.mode to be as it is there"
    if live.standard and (odd := _not_rolled_out(live.found or {})):
        return f"nothing can be rolled out over {odd} in Standard mode", "it to go without that, or to be deleted"
    if live.canary_percent is not None or len({t.revision for t in live.traffic if t.percent}) > 1:
        return "its traffic is split", "somebody to end the split"
    if not live.ready or not settled(live):
        return "it is not ready", "it to become ready, or to be deleted"
    return None


def _not_rolled_out(found: Mapping[str, Any]) -> str:
    """Name what a canary's share would pass by, or what KServe refuses or ignores beside one; "" for nothing."""
    predictor = found.get("predictor", {})
    if predictor.get("minReplicas") == 0:
        return "minReplicas: 0"
    parts = [name for name in ("transformer", "explainer") if name in found]
    return ", ".join([*parts, *(name for name in ("workerSpec", "storageUris") if name in predictor)])


def _adopt(facts: Facts, live: InferenceService, serving: Serving, where: str) -> Decision:
    version = found_version(facts, live)
    if version is None:
        what = f"{where} cannot be adopted: its storageUri {_uri(live) or '(none)'} is that of no registered version"
        return _stall(what, "that model to be registered as a version, or the object to be deleted")
    number = version.version
    if not facts.proven(version):
        what = f"{where} serves version {number}, which has not passed the gates"
        return _stall(what, f'promotion.version: "{number}" in Git, which asks for its gates, and to pass them')
    record = adopted_record(live, serving, number)
    if facts.rejected(record.release) is not None:
        what = f"{where} serves {record.release}, which was rolled back"
        return _stall(what, "a commit that changes what is wanted")
    why = f"because Git says adopt, and its storageUri is that of version {number}"
    return act(Adopt(record.release, live.uid), why, Phase.DEPLOYING)


def found_version(facts: Facts, live: InferenceService) -> ModelVersion | None:
    """Return the newest version whose artifact the object serves."""
    numbers = located(facts, live)
    return facts.version(max(numbers)) if numbers else None


def located(facts: Facts, live: InferenceService) -> frozenset[int]:
    """Return the versions whose artifact lies where the object's storageUri says."""
    locations, uri = facts.observed.locations, _uri(live).rstrip("/")
    if isinstance(locations, Unknown) or not uri:
        return frozenset()
    return frozenset(number for number, location in locations.items() if location.rstrip("/") == uri)


def adopted_record(live: InferenceService, serving: Serving, version: int) -> ReleaseRecord:
    """Return what the object serves as a release: by Git's fields where the object has them all, else by its own."""
    wanted, uri = serving_fields(serving), _uri(live)
    fields = wanted if _has(live.found, wanted) else _own(live.found or {})
    release = Release(version, digest(fields))
    return ReleaseRecord(release, uri, _keeping_name(live, fields))


def _keeping_name(live: InferenceService, fields: dict[str, Any]) -> dict[str, Any]:
    """Keep the predictor's name, be it none: under another one KServe would take down what serves first."""
    if not live.standard:
        return fields
    name = (live.found or {}).get("predictor", {}).get("name", "")
    return {**fields, "predictor": {**fields["predictor"], "name": name}}


def _uri(live: InferenceService) -> str:
    model = (live.found or {}).get("predictor", {}).get("model")
    uri = model.get("storageUri") if isinstance(model, dict) else None
    return uri if isinstance(uri, str) else ""


def _own(found: Mapping[str, Any]) -> dict[str, Any]:
    predictor: dict[str, Any] = found["predictor"]
    model = {name: value for name, value in predictor["model"].items() if name != "storageUri"}
    return {**found, "predictor": {**predictor, "model": model}}


def _has(found: Any, wanted: Any) -> bool:
    """Tell whether everything that is wanted is there, with the same values; more may be there."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            name in found and _has(found[name], value) for name, value in wanted.items()
        )
    return bool(found == wanted)
