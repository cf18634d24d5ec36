"""How a model is served, as a pydantic model: what is KServe's own to say, and what the reconciler fills in."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator, model_validator

from reconciler.desired.base import Document, Flag, Name, refusal


class Mode(StrEnum):
    """KServe's deployment modes."""

    KNATIVE = "Knative"
    STANDARD = "Standard"


_RESERVED = {
    "storageUri": "the registry decides it",
    "canaryTrafficPercent": "spec.rollout decides it",
}


class Serving(Document):
    """Where and how the model is served; predictor, transformer and explainer hold KServe's own fields."""

    namespace: Name
    mode: Mode = Mode.KNATIVE
    predictor: dict[str, Any]
    transformer: dict[str, Any] | None = None
    explainer: dict[str, Any] | None = None
    take_ownership: Flag = Field(
        default=False, description="Take back fields of ours that another field manager changed and holds."
    )
    adopt: Flag = Field(
        default=False, description="Take over an InferenceService of this name that exists and nobody tracks."
    )

    @model_validator(mode="after")
    def _fits_standard(self) -> Serving:
        if self.mode is not Mode.STANDARD:
            return self
        parts = {name: why for name, why in _NOT_IN_STANDARD.items() if getattr(self, name) is not None}
        fields = {name: why for name, why in _NOT_OF_PREDICTORS.items() if name in self.predictor}
        for name, why in (parts | fields).items():
            at: tuple[str, ...] = (name,) if name in parts else ("predictor", name)
            raise refusal(
                "standard-mode", f"{name} cannot be used in Standard mode", at=at, advice=f"leave it out: {why}"
            )
        if self.predictor.get("minReplicas") == 0:
            raise refusal(
                "standard-mode",
                "minReplicas is at least 1 in Standard mode",
                at=("predictor", "minReplicas"),
                advice="write 1 or more: no canary may have more than the stable predictor",
            )
        return self

    def content(self) -> dict[str, Any]:
        """Return what callers get; how the object is dealt with changes nothing for them."""
        return {name: value for name, value in super().content().items() if name not in ("takeOwnership", "adopt")}

    @field_validator("predictor")
    @classmethod
    def _check_predictor(cls, predictor: dict[str, Any]) -> dict[str, Any]:
        model = predictor.get("model")
        if not isinstance(model, dict) or not isinstance(model.get("modelFormat"), dict):
            raise ValueError("predictor.model.modelFormat is needed, such as {name: mlflow}")  # noqa: TRY004  pydantic collects it
        for field, why in _RESERVED.items():
            if field in predictor or field in model:
                at = (field,) if field in predictor else ("model", field)
                raise refusal(
                    "reserved-field", f"{field} is not for people to set", at=at, advice=f"leave it out: {why}"
                )
        if (
            model["modelFormat"].get("name") == "mlflow"
            and model.get("protocolVersion") != "v2"
            and "runtime" not in model
        ):
            raise ValueError(
                "modelFormat mlflow needs `protocolVersion: v2` (or an explicit runtime): "
                "KServe takes an unset protocol for v1, which no mlflow runtime speaks"
            )
        return predictor


_NOT_IN_STANDARD = {
    "transformer": "the shares of a canary pass it by",
    "explainer": "the shares of a canary pass it by",
}
_NOT_OF_PREDICTORS = {
    "name": "each release gets a predictor of its own name, which no other may have",
    "workerSpec": "KServe makes no canary of several nodes",
    "storageUris": "KServe ignores them in a canary",
}
# KServe's label `app: isvc.<name>-<predictor>-predictor` has at most 63 characters.
LONGEST_STANDARD_NAME = 30
