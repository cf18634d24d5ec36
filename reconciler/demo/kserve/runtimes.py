"""Which serving runtime takes a model: KServe's selection over the runtimes that this stand-in offers.

It offers two of KServe's ClusterServingRuntimes, both played by KServe's own Python model server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reconciler.demo.kserve.names import Json


@dataclass(frozen=True, slots=True)
class Runtime:
    """One ClusterServingRuntime; `priority` is per format, the highest is taken first."""

    name: str
    protocols: tuple[str, ...]
    priority: dict[str, int]
    versions: dict[str, tuple[str, ...]]
    model_class: dict[str, str]


class InvalidSpec(Exception):  # noqa: N818  the word in status.modelStatus.transitionStatus
    """No runtime can take this spec; `reason` is one of KServe's failure reasons."""

    def __init__(self, reason: str, status_message: str, event_message: str) -> None:
        super().__init__(event_message)
        self.reason = reason
        self.status_message = status_message


OFFERED = (
    Runtime(
        name="kserve-sklearnserver",
        protocols=("v1", "v2"),
        priority={"sklearn": 1},
        versions={"sklearn": ("1",)},
        model_class={},
    ),
    Runtime(
        name="kserve-mlserver",
        protocols=("v2",),
        priority={"mlflow": 1, "sklearn": 2},
        versions={"mlflow": ("1", "2"), "sklearn": ("0", "1")},
        model_class={"mlflow": "mlserver_mlflow.MLflowRuntime", "sklearn": "mlserver_sklearn.SKLearnModel"},
    ),
)


def choose(model: Json) -> Runtime:
    """Choose the runtime for `spec.predictor.model`; raises InvalidSpec as KServe reports it."""
    if "runtime" in model:
        return _named(str(model["runtime"]), model)
    protocol = model.get("protocolVersion", "v1")
    fitting = [r for r in OFFERED if _supports(r, model["modelFormat"]) and protocol in r.protocols]
    if not fitting:
        raise InvalidSpec(
            "NoSupportingRuntime",
            "No runtime found to support specified framework/version",
            f"no runtime found to support predictor with model type: {_go(model['modelFormat'])}",
        )
    return max(fitting, key=lambda runtime: runtime.priority[model["modelFormat"]["name"]])


def _named(name: str, model: Json) -> Runtime:
    runtime = next((r for r in OFFERED if r.name == name), None)
    if runtime is None:
        raise InvalidSpec(
            "RuntimeNotRecognized",
            "Waiting for runtime to become available",
            f"No ServingRuntimes or ClusterServingRuntimes with the name: {name}",
        )
    if model.get("protocolVersion", runtime.protocols[0]) not in runtime.protocols:
        what = "protocol version"
    elif not _supports(runtime, model["modelFormat"]):
        what = "framework/version"
    else:
        return runtime
    raise InvalidSpec(
        "NoSupportingRuntime",
        f"Specified runtime does not support specified {what}",
        f"specified runtime {name} does not support specified {what}",
    )


def _supports(runtime: Runtime, model_format: Json) -> bool:
    versions = runtime.versions.get(model_format["name"], ())
    return bool(versions) and model_format.get("version", versions[0]) in versions


def _go(model_format: dict[str, Any]) -> str:
    return f"{{{model_format['name']} {model_format.get('version', '<nil>')}}}"
