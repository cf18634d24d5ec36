"""The InferenceService that a release asks for, as it is applied. Pure.

Labels and annotations reach the pod template (KServe copies them), so nothing in here changes unless the release does.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.desired.documents import Serving
from reconciler.observed import LABEL_MODEL, LABEL_RELEASE, MANAGER, HeldField, Release, ReleaseRecord

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


def inference_service(model: str, record: ReleaseRecord, canary_percent: int | None) -> dict[str, Any]:
    """Render the whole object that we own; `canary_percent` None means no split."""
    serving = copy.deepcopy(dict(record.serving))
    predictor: dict[str, Any] = serving["predictor"]
    predictor["model"] = {**predictor["model"], "storageUri": record.storage_uri}
    predictor["labels"] = {**predictor.get("labels", {}), LABEL_RELEASE: str(record.release)}
    if canary_percent is not None:
        predictor["canaryTrafficPercent"] = canary_percent
    components = {k: serving[k] for k in ("transformer", "explainer") if k in serving}
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
                # new revision, so it is there from the first apply.
                "serving.kserve.io/enable-tag-routing": "true",
                **LEFT_ALONE,
            },
        },
        "spec": {"predictor": predictor, **components},
    }


ABSENT = object()
SHARE = ("f:spec", "f:predictor", "f:canaryTrafficPercent")


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
