"""The words of KServe's and Knative's APIs that more than one file here needs."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

KSERVE: Final = "serving.kserve.io"
KNATIVE: Final = "serving.knative.dev"
GATEWAY: Final = "gateway.networking.k8s.io"
KNATIVE_AUTOSCALING: Final = "autoscaling.knative.dev"
FINALIZER: Final = "inferenceservice.finalizers"

DEPLOYMENT_MODE: Final = f"{KSERVE}/deploymentMode"
TAG_ROUTING: Final = f"{KSERVE}/enable-tag-routing"
AUTOSCALER_CLASS: Final = f"{KSERVE}/autoscalerClass"
STOP: Final = f"{KSERVE}/stop"
MODEL_FORMAT: Final = "modelFormat"
SOURCE_URI: Final = "internal.serving.kserve.io/storage-initializer-sourceuri"
MIN_SCALE: Final = f"{KNATIVE_AUTOSCALING}/min-scale"
MAX_SCALE: Final = f"{KNATIVE_AUTOSCALING}/max-scale"

SERVICE_LABEL: Final = f"{KNATIVE}/service"
CONFIGURATION_LABEL: Final = f"{KNATIVE}/configuration"
GENERATION_LABEL: Final = f"{KNATIVE}/configurationGeneration"
REVISION_LABEL: Final = f"{KNATIVE}/revision"
ISVC_LABEL: Final = f"{KSERVE}/inferenceservice"

LEGACY_MODES: Final = {"Serverless": "Knative", "RawDeployment": "Standard"}


def predictor_service(isvc_name: str, predictor_name: str = "") -> str:
    """Name the Knative Service, or the Deployment and its Service, that serves an InferenceService's predictor."""
    return "-".join(part for part in (isvc_name, predictor_name, "predictor") if part)


def predictor_labels(isvc_name: str) -> str:
    """Return the selector of everything that serves an InferenceService's predictors."""
    return f"{ISVC_LABEL}={isvc_name},component=predictor"
