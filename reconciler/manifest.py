"""The InferenceService that a release asks for, as it is applied. Pure.

Labels and annotations reach the pod template (KServe copies them), so nothing in here changes unless the release does.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.desired.serving import Serving
from reconciler.observed import (
    LABEL_MODEL,
    LABEL_RELEASE,
    MANAGER,
    STANDARD,
    HeldField,
    InferenceService,
    Release,
    ReleaseRecord,
)

# What an application in Argo CD that shows this namespace makes of the object: no part of its state, never pruned.
LEFT_ALONE = {
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
    "argocd.argoproj.io/sync-options": "Prune=false",
}


def serving_fields(serving: Serving) -> dict[str, Any]:
    """Return what callers get besides the version: predictor, transformer, explainer and mode as plain JSON."""
    return serving.content()


def release_of(version: int, serving: Serving) -> Release:
    """Return the release of a version under these serving fields."""
    return Release(version, serving.digest)


# KServe gives a canary as many replicas as it is told, and refuses to scale it.
_AUTOSCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling")
TAG_ROUTING = "serving.kserve.io/enable-tag-routing"


def inference_service(
    model: str,
    record: ReleaseRecord,
    canary_percent: int | None,
    stable: ReleaseRecord | None = None,
    pods: int = 0,
) -> dict[str, Any]:
    """Render the whole object that we own; `canary_percent` None means no split.

    In Standard mode a split needs the stable release as well, which keeps its predictor beside the canary. The canary
    has `pods` there, or as many as its share asks for if these are more.
    """
    serving = record.serving
    standard = serving["mode"] == STANDARD
    if standard:
        spec = _standard_spec(record, canary_percent, stable, pods)
    else:
        split = {} if canary_percent is None else {"canaryTrafficPercent": canary_percent}
        components = {k: copy.deepcopy(serving[k]) for k in ("transformer", "explainer") if k in serving}
        spec = {"predictor": {**_predictor(record), **split}, **components}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": model,
            "namespace": serving["namespace"],
            "labels": {"app.kubernetes.io/managed-by": MANAGER, LABEL_MODEL: model},
            "annotations": {
                "serving.kserve.io/deploymentMode": serving["mode"],
                # Gives the candidate an address of its own, so that it can be probed; adding it later would make a
                # new revision, so it is there from the first apply. In Standard mode it has a Service.
                **({} if standard else {TAG_ROUTING: "true"}),
                **LEFT_ALONE,
            },
        },
        "spec": spec,
    }


def share_of(manifest: Mapping[str, Any]) -> int | None:
    """Return the percent that a manifest asks for the candidate, None where there is no split."""
    spec = manifest["spec"]
    percent = spec["canary"][0]["trafficPercent"] if "canary" in spec else spec["predictor"].get("canaryTrafficPercent")
    return percent if isinstance(percent, int) else None


def _predictor(record: ReleaseRecord) -> dict[str, Any]:
    predictor: dict[str, Any] = copy.deepcopy(record.serving["predictor"])
    predictor["model"] = {**predictor["model"], "storageUri": record.storage_uri}
    predictor["labels"] = {**predictor.get("labels", {}), LABEL_RELEASE: str(record.release)}
    return predictor


def _standard_spec(
    record: ReleaseRecord, percent: int | None, stable: ReleaseRecord | None, pods: int
) -> dict[str, Any]:
    if percent is None:
        return {"predictor": _named(record)}
    if stable is None:
        raise ValueError(f"release {record.release} cannot stand beside nothing")
    canary = {name: value for name, value in _named(record).items() if name not in _AUTOSCALING}
    # KServe's definition asks for a name in a canary's model, though nowhere else; empty it is as good as none.
    canary["model"] = {"name": "", **canary["model"]}
    enough = canary_pods(record, stable, percent)
    canary["minReplicas"] = max(enough, pods)
    predictor = _with_more(_named(stable), canary["minReplicas"] - enough)
    return {"predictor": predictor, "canary": [{"predictor": canary, "trafficPercent": percent}]}


def canary_pods(record: ReleaseRecord, stable: ReleaseRecord, percent: int) -> int:
    """Return how many pods a canary in Standard mode needs for a share: by default it would have none at 0 %."""
    return max(1, math.ceil(min(_replicas(record), _replicas(stable)) * percent / 100))


def _with_more(stable: dict[str, Any], pods: int) -> dict[str, Any]:
    """Make up for pods of a canary whose share does not come yet: KServe takes all of them off stable's minReplicas.

    Source: adjustStableMinReplicasForCanaries of its components/predictor.go.
    """
    if not pods:
        return stable
    least = stable.get("minReplicas", 1) + pods
    most = stable.get("maxReplicas")
    room = {"maxReplicas": least} if isinstance(most, int) and 0 < most < least else {}
    return {**stable, "minReplicas": least, **room}


def _replicas(record: ReleaseRecord) -> int:
    asked = record.serving["predictor"].get("minReplicas")
    return asked if isinstance(asked, int) else 1


def _named(record: ReleaseRecord) -> dict[str, Any]:
    name = predictor_name(record)
    predictor = {**_predictor(record), "name": name}
    return predictor if name else {field: value for field, value in predictor.items() if field != "name"}


def predictor_name(record: ReleaseRecord) -> str:
    """Return the name of a release's predictor in Standard mode, "" for none: that on record, or one of its own."""
    return str(record.serving["predictor"].get("name", own_name(record.release)))


def own_name(release: Release) -> str:
    """Return the name that the predictor of a release of ours has in Standard mode, where none is on record."""
    return f"v{release.version}-{release.template[:5]}"


def under_name(record: ReleaseRecord, name: str) -> ReleaseRecord:
    """Return the record of a release whose predictor has this name, "" for none."""
    return replace(record, serving={**record.serving, "predictor": {**record.serving["predictor"], "name": name}})


def standing(record: ReleaseRecord, live: InferenceService | None) -> ReleaseRecord:
    """Name the predictor of a release that serves in Standard mode as it stands there, which Git does not say."""
    if live is None or not live.standard:
        return record
    deployment = {live.beside: live.latest_rolledout, live.release: live.latest_created}.get(record.release)
    return under_name(record, deployed_name(live.name, deployment)) if deployment else record


def deployed_name(service: str, deployment: str) -> str:
    """Return the name of the predictor that KServe made a Deployment of, "" for none."""
    return deployment.removeprefix(service).removesuffix("predictor").strip("-")


def inherited(stable: Mapping[str, Any], candidate: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of the stable predictor that a canary gets though its release has none of them.

    KServe lays what is set of a canary over a copy of the stable predictor (facts/KSERVE.md): nothing can be unset.
    """
    skipped = {*_AUTOSCALING, "minReplicas", "name"}
    return tuple(sorted(_left_over({k: v for k, v in stable.items() if k not in skipped}, candidate)))


def _left_over(stable: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[str]:
    for name, value in stable.items():
        said = candidate.get(name)
        if not value:
            continue
        if isinstance(value, Mapping) and isinstance(said, Mapping):
            yield from (f"{name}.{below}" for below in _left_over(value, said))
        elif not said:
            yield name


ABSENT = object()
SHARE = ("f:spec", "f:predictor", "f:canaryTrafficPercent")
CANARY = ("f:spec", "f:canary")


def value_at(value: Any, path: Sequence[str]) -> Any:
    """Return the value at a path of fieldsV1 elements, ABSENT where there is none."""
    for step in path:
        kind, _, said = step.partition(":")
        if kind == "f":
            value = value.get(said, ABSENT) if isinstance(value, Mapping) else ABSENT
        else:
            listed = value if isinstance(value, list) else []
            value = next((item for index, item in enumerate(listed) if names_item(step, item, index)), ABSENT)
        if value is ABSENT:
            break
    return value


def names_item(step: str, item: Any, index: int) -> bool:
    """Tell whether an element of fieldsV1 names this item of a list: by its keys, its value or its index."""
    kind, _, said = step.partition(":")
    try:
        wanted = json.loads(said or "null")
    except (ValueError, RecursionError):
        return False
    if kind == "k":
        keys = wanted.items() if isinstance(wanted, dict) else [("", wanted)]
        return isinstance(item, dict) and all(item.get(name) == value for name, value in keys)
    return bool(kind == "v" and item == wanted) or bool(kind == "i" and index == wanted)


def contested(manifest: Mapping[str, Any], held: Iterable[HeldField]) -> tuple[HeldField, ...]:
    """Return the fields that an apply of `manifest` would have to take from others."""
    asked = ((field, value_at(manifest, field.path)) for field in held)
    return tuple(field for field, value in asked if value is not ABSENT and value != field.value)


def probe_protocol(fields: Mapping[str, Any]) -> str:
    """Return v1 or v2, as the predictor speaks it."""
    return str(fields["predictor"]["model"].get("protocolVersion", "v1"))
