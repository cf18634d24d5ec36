"""The InferenceService that a release asks for, as it is applied. Pure.

Labels and annotations reach the pod template (KServe copies them), so nothing in here changes unless the release does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from reconciler.desired.documents import Serving
from reconciler.observed import LABEL_MODEL, LABEL_RELEASE, MANAGER, Release, ReleaseRecord


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
            },
        },
        "spec": {"predictor": predictor, **components},
    }


def probe_protocol(fields: Mapping[str, Any]) -> str:
    """Return v1 or v2, as the predictor speaks it."""
    return str(fields["predictor"]["model"].get("protocolVersion", "v1"))
