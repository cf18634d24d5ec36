"""Register KServe's webhook with the embedded API server."""

from __future__ import annotations

from typing import Final

from reconciler.demo.kserve.admission import default, refusals
from reconciler.demo.kserve.names import Json
from reconciler.demo.kubeapi.admission import Admission, AdmissionDeniedError, AdmissionRequest

RESOURCE: Final = "inferenceservices.serving.kserve.io"


def register(admission: Admission) -> None:
    """Have InferenceServices defaulted and validated as KServe's webhook does."""
    admission.mutating(RESOURCE, _mutate)
    admission.validating(RESOURCE, _validate)


def _mutate(request: AdmissionRequest) -> Json:
    return default(request.obj)


def _validate(request: AdmissionRequest) -> None:
    if request.operation == "DELETE":
        return
    found = refusals(request.obj, request.old)
    if found:
        raise AdmissionDeniedError("inferenceservice.kserve-webhook-server.validator", found[0])
