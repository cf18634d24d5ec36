"""What KServe's webhook writes into an InferenceService, and what it refuses."""

from __future__ import annotations

import copy
import re

from reconciler.demo.kserve.names import DEPLOYMENT_MODE, LEGACY_MODES, MODEL_FORMAT, Json
from reconciler.demo.kserve.quantity import canonical

_FRAMEWORKS = (
    "sklearn",
    "tensorflow",
    "xgboost",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
)
_LEGACY_V2 = frozenset({"triton", "onnx", "huggingface"})
_MODEL_V2 = frozenset({"triton", "vllm"})
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DEFAULT_RESOURCES = {"cpu": "1", "memory": "2Gi"}


def default(isvc: Json) -> Json:
    """Return the InferenceService as KServe's defaulting webhook stores it."""
    stored = copy.deepcopy(isvc)
    predictor = stored.get("spec", {}).get("predictor", {})
    _normalise_mode(stored)
    _adopt_legacy_framework(predictor)
    if "model" in predictor:
        _default_model(stored, predictor["model"])
    for canary in stored["spec"].get("canary", []):
        if "model" in canary.get("predictor", {}):
            _write_back(canary["predictor"]["model"])
    for component in ("predictor", "transformer", "explainer"):
        _default_custom_containers(stored["spec"].get(component, {}))
    return stored


def refusals(isvc: Json, standing: Json | None) -> list[str]:
    """Say why the validating webhook refuses the object; `standing` is the stored one on an update."""
    if "deletionTimestamp" in isvc["metadata"]:
        return []
    found = [
        _refuse_name(isvc["metadata"]["name"]),
        _refuse_implementations(isvc["spec"]["predictor"]),
        _refuse_replicas(isvc["spec"]["predictor"]),
        _refuse_logger(isvc["spec"]["predictor"]),
        refuse_canaries(isvc),
        _refuse_mode_change(isvc, standing),
        refuse_renaming(isvc, standing),
    ]
    return [refusal for refusal in found if refusal]


def _normalise_mode(isvc: Json) -> None:
    annotations = isvc["metadata"].get("annotations", {})
    if annotations.get(DEPLOYMENT_MODE) in LEGACY_MODES:
        annotations[DEPLOYMENT_MODE] = LEGACY_MODES[annotations[DEPLOYMENT_MODE]]


def _adopt_legacy_framework(predictor: Json) -> None:
    framework = next((name for name in _FRAMEWORKS if name in predictor), None)
    if framework is None:
        return
    model = predictor.pop(framework)
    if framework in _LEGACY_V2:
        model.setdefault("protocolVersion", "v2")
    predictor["model"] = {**model, "modelFormat": {"name": framework}}


def _default_model(isvc: Json, model: Json) -> None:
    model_format = model.get("modelFormat", {}).get("name", "")
    if model_format in _MODEL_V2:
        model.setdefault("protocolVersion", "v2")
    if model_format:
        annotations = isvc["metadata"].setdefault("annotations", {})
        annotations.setdefault(MODEL_FORMAT, model_format)
    _write_back(model)


def _write_back(model: Json) -> None:
    """Add what any model gets by passing through KServe's own types."""
    model.setdefault("name", "")
    _canonical_resources(model.setdefault("resources", {}))


def _default_custom_containers(component: Json) -> None:
    for container in component.get("containers", []):
        if "model" not in component and not container.get("name"):
            container["name"] = "kserve-container"
        resources = container.setdefault("resources", {})
        for side in ("requests", "limits"):
            resources[side] = {**_DEFAULT_RESOURCES, **resources.get(side, {})}
        _canonical_resources(resources)


def _canonical_resources(resources: Json) -> None:
    for side in ("requests", "limits"):
        if side in resources:
            resources[side] = {name: canonical(value) for name, value in resources[side].items()}


def _refuse_name(name: str) -> str:
    if _NAME.fullmatch(name):
        return ""
    return (
        f'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case '
        "alphanumeric characters or '-', and must start with alphabetical character. (e.g. \"my-name\" or "
        "\"abc-123\", regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
    )


def _refuse_implementations(predictor: Json) -> str:
    named = [name for name in ("model", *_FRAMEWORKS) if name in predictor]
    if len(named) == 1 or (not named and predictor.get("containers")):
        return ""
    return "exactly one of [Custom, Model, SKLearn, XGBoost, ...] must be specified in PredictorSpec"


def _refuse_replicas(predictor: Json) -> str:
    low, high = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    if low < 0:
        return "MinReplicas cannot be less than 0"
    if high < 0:
        return "MaxReplicas cannot be less than 0"
    return "MinReplicas cannot be greater than MaxReplicas" if 0 < high < low else ""


def _refuse_logger(predictor: Json) -> str:
    if "logger" in predictor and predictor["logger"].get("mode") not in ("all", "request", "response"):
        return "invalid logger type"
    return ""


def refuse_canaries(isvc: Json) -> str:
    """Say why the canaries are refused, "" if they are not."""
    canaries = isvc["spec"].get("canary") or []
    if not canaries:
        return ""
    if isvc["metadata"].get("annotations", {}).get(DEPLOYMENT_MODE) != "Standard":
        return "canary is only supported in Standard deployment mode"
    stable = isvc["spec"]["predictor"]
    seen: set[str] = set()
    for number, canary in enumerate(canaries):
        # What the definition's schema requires; the embedded API takes any field.
        for field in ("predictor", "trafficPercent"):
            if field not in canary:
                return f"spec.canary[{number}].{field}: Required value"
        name = canary["predictor"].get("name", "")
        if refusal := _refuse_canary_name(number, name, stable, seen) or _refuse_canary(name, canary, stable):
            return refusal
        seen.add(name)
    total = sum(canary["trafficPercent"] for canary in canaries)
    return f"sum of canary trafficPercent values ({total}) must be <= 100" if total > 100 else ""


def _refuse_canary_name(number: int, name: str, stable: Json, seen: set[str]) -> str:
    if not name:
        return f"canary[{number}] predictor.name is required"
    if name in seen:
        return f'canary predictor.name "{name}" is duplicated'
    if name == stable.get("name", ""):
        return f'canary predictor.name "{name}" conflicts with stable predictor name'
    return ""


def _refuse_canary(name: str, canary: Json, stable: Json) -> str:
    predictor, percent = canary["predictor"], canary["trafficPercent"]
    if not 0 <= percent <= 100:
        return f'canary "{name}" trafficPercent must be between 0 and 100, got {percent}'
    for check in (_refuse_implementations, _refuse_replicas, _refuse_logger):
        if refusal := check(predictor):
            return f'canary "{name}" predictor: {refusal}'
    if "workerSpec" in predictor:
        return f'canary "{name}" must not set workerSpec (multi-node is not yet supported for canary)'
    for field in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"):
        if predictor.get(field):
            return f'canary "{name}" must not set {field} (canary uses fixed replicas)'
    low, limit = predictor.get("minReplicas", 0), stable.get("minReplicas", 1)
    if low > limit:
        return f'canary "{name}" minReplicas ({low}) must not exceed stable predictor minReplicas ({limit})'
    return ""


def _refuse_mode_change(isvc: Json, standing: Json | None) -> str:
    stands = (standing or {}).get("status", {}).get("deploymentMode")
    wanted = isvc["metadata"].get("annotations", {}).get(DEPLOYMENT_MODE)
    if stands and wanted and LEGACY_MODES.get(stands, stands) != wanted:
        return f"update rejected: deploymentMode cannot be changed from '{stands}' to '{wanted}'"
    return ""


def refuse_renaming(isvc: Json, standing: Json | None) -> str:
    """Say why another name of the predictor is refused, "" if it is not."""
    if standing is None:
        return ""
    before, after = standing["spec"]["predictor"], isvc["spec"]["predictor"]
    renamed = before.get("name", "") != after.get("name", "")
    same = before.get("model", {}).get("storageUri", "") == after.get("model", {}).get("storageUri", "")
    return "predictor.name change requires a model change (e.g. storageUri)" if renamed and same else ""
