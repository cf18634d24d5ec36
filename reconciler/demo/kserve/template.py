"""From an InferenceService to the template that KServe hands to Knative or puts into a Deployment."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from reconciler.demo.kserve.names import (
    ISVC_LABEL,
    KNATIVE_AUTOSCALING,
    MAX_SCALE,
    MIN_SCALE,
    MODEL_FORMAT,
    SOURCE_URI,
    Json,
)
from reconciler.demo.kserve.runtimes import InvalidSpec, Runtime, choose

_KEPT_OFF_REVISIONS = frozenset(
    {MIN_SCALE, MAX_SCALE, SOURCE_URI, MODEL_FORMAT, "kubectl.kubernetes.io/last-applied-configuration"}
)
_HIDDEN_LABEL = "networking.knative.dev/visibility"
_FETCHABLE = (
    "gs://",
    "s3://",
    "pvc://",
    "file://",
    "https://",
    "http://",
    "hdfs://",
    "webhdfs://",
    "oci://",
    "hf://",
)


class UnsupportedUri(Exception):  # noqa: N818  named after what KServe says
    """KServe refuses the storageUri before it creates anything; only an Event tells."""


@dataclass(frozen=True, slots=True)
class Template:
    """What a revision or a pod is made of; any difference to the standing one makes a new revision or new pods."""

    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Json
    runtime: str

    @property
    def storage_uri(self) -> str:
        """Where the model comes from."""
        return self.annotations.get(SOURCE_URI, "")

    @property
    def min_scale(self) -> int:
        """How many replicas stay up without traffic."""
        return int(self.annotations.get(MIN_SCALE, "1"))


def build(isvc: Json) -> Template:
    """Build the template of a Knative revision; raises InvalidSpec or UnsupportedUri as KServe's predictor does."""
    predictor = isvc["spec"]["predictor"]
    pod = build_pod(isvc, predictor)
    spec = dict(pod.spec)
    if "containerConcurrency" in predictor:
        spec["containerConcurrency"] = predictor["containerConcurrency"]
    spec["timeoutSeconds"] = predictor.get("timeout", 300)
    return replace(pod, annotations=pod.annotations | _scaling(predictor, pod.annotations), spec=spec)


def build_pod(isvc: Json, predictor: Json) -> Template:
    """Build the pod template of a predictor; raises as `build` does."""
    model = predictor.get("model")
    if model is None:
        message = "this stand-in serves spec.predictor.model only"
        raise InvalidSpec("InvalidPredictorSpec", message, message)
    _check_uri(model.get("storageUri", ""))
    runtime = choose(model)
    return Template(
        labels=_labels(isvc, predictor, runtime),
        annotations=_annotations(isvc, predictor, model),
        spec=_spec(isvc, predictor, model, runtime),
        runtime=runtime.name,
    )


def _check_uri(uri: str) -> None:
    if re.match(r"\w+?://", uri) and not uri.startswith(_FETCHABLE):
        raise UnsupportedUri(
            f"StorageURI not supported: storageUri, must be one of: [{', '.join(_FETCHABLE)}] or match "
            "https://{}.blob.core.windows.net/{}/{} or be an absolute or relative local path. "
            f"StorageUri [{uri}] is not supported"
        )


def _labels(isvc: Json, predictor: Json, runtime: Runtime) -> dict[str, str]:
    labels: dict[str, str] = dict(isvc["metadata"].get("labels", {}))
    model_class = runtime.model_class.get(predictor["model"]["modelFormat"]["name"])
    if model_class is not None:
        labels["modelClass"] = model_class
    labels |= predictor.get("labels", {})
    labels |= {ISVC_LABEL: isvc["metadata"]["name"], "component": "predictor"}
    labels.pop(_HIDDEN_LABEL, None)
    return labels


def _annotations(isvc: Json, predictor: Json, model: Json) -> dict[str, str]:
    given = isvc["metadata"].get("annotations", {})
    annotations = {key: value for key, value in given.items() if key not in _KEPT_OFF_REVISIONS}
    if "storageUri" in model:
        annotations[SOURCE_URI] = model["storageUri"]
    own = predictor.get("annotations", {})
    annotations |= {key: value for key, value in own.items() if key not in _KEPT_OFF_REVISIONS}
    return annotations


def _scaling(predictor: Json, annotations: dict[str, str]) -> dict[str, str]:
    class_key = f"{KNATIVE_AUTOSCALING}/class"
    scaling = {
        class_key: annotations.get(class_key, f"kpa.{KNATIVE_AUTOSCALING}"),
        MIN_SCALE: str(predictor.get("minReplicas", 1)),
    }
    if predictor.get("maxReplicas"):
        scaling[MAX_SCALE] = str(predictor["maxReplicas"])
    if "scaleTarget" in predictor:
        scaling[f"{KNATIVE_AUTOSCALING}/target"] = str(predictor["scaleTarget"])
    if "scaleMetric" in predictor:
        scaling[f"{KNATIVE_AUTOSCALING}/metric"] = predictor["scaleMetric"]
    return scaling


_CONTAINER_FIELDS = ("args", "command", "env", "image", "ports", "resources", "volumeMounts")


def _spec(isvc: Json, predictor: Json, model: Json, runtime: Runtime) -> Json:
    container: Json = {"name": "kserve-container", "image": f"{runtime.name}:stand-in"}
    container |= {field: model[field] for field in _CONTAINER_FIELDS if model.get(field)}
    mentioned = {"name": "INFERENCE_SERVICE_NAME", "value": isvc["metadata"]["name"]}
    container["env"] = [*container.get("env", []), mentioned]
    spec: Json = {"containers": [container]}
    if "serviceAccountName" in predictor:
        spec["serviceAccountName"] = predictor["serviceAccountName"]
    return spec
