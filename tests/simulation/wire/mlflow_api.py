"""MLflow's REST API as it answers, over the simulated registry's state: one request in, one JSON answer out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from reconciler.observed import ModelVersion, RegisteredModel, Stage
from tests.simulation.wire.mlflow_state import ARTIFACTS, MlflowState

Json = dict[str, Any]
API = "/api/2.0/mlflow/"
_NAMED = re.compile(r"""name = (?:'([^']*)'|"([^"]*)")""")
_ARTIFACT = re.compile(r"models/(.*)/([0-9]+)/([^/]+)")
MLMODEL = b"saved_input_example_info:\n  artifact_path: input_example.json\n"


class Failure(Exception):  # noqa: N818  an answer of the server, not an error of the tests
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error_code": code, "message": message}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, with query and body as one mapping."""

    method: str
    path: str
    given: Json

    @property
    def writes(self) -> bool:
        """Return whether it changes anything."""
        return self.method != "GET"

    def __str__(self) -> str:
        """Write it as the story tells it; who asks for the invariants finds the model's name in it."""
        said = " ".join(f"{key}={value}" for key, value in self.given.items() if key != "max_results")
        return f"registry {self.method} {self.path.removeprefix(API)} {said}".rstrip()


@dataclass(slots=True)
class MlflowApi:
    """Answers from the state. No page holds more than these numbers of models and versions."""

    state: MlflowState
    models_page: int = 2
    versions_page: int = 3

    def answer(self, asked: Asked, skipped: int = 0) -> Json:
        """Change the state as asked and answer; `skipped` items went from before a page since the one before it."""
        name = asked.path.removeprefix(API)
        match asked.method, name:
            case "GET", "registered-models/search":
                rows = [self._listed_model(m) for _, m in sorted(self.state.models.items())]
                return _page("registered_models", rows, asked.given, self.models_page, skipped)
            case "GET", "model-versions/search":
                return _page("model_versions", self._found(asked.given), asked.given, self.versions_page, skipped)
            case "GET", "registered-models/get":
                return {"registered_model": self._listed_model(self._model(asked.given))}
            case "GET", "model-versions/get-download-uri":
                model, version = self._version(asked.given)
                return {"artifact_uri": self.state.location(model.name, version.version)}
            case "GET", "runs/get":
                return self._run(str(asked.given["run_id"]))
        return self._write(asked.method, name, asked.given)

    def artifact(self, path: str) -> bytes:
        """Return a file of an artifact. Raises Failure when there is none."""
        found = _ARTIFACT.fullmatch(unquote(path.removeprefix(ARTIFACTS)))
        if found and found[3] == "MLmodel":
            return MLMODEL
        if found and found[3] == "input_example.json":
            return json.dumps(self.state.rows(found[1], int(found[2]))).encode()
        raise Failure(404, "RESOURCE_DOES_NOT_EXIST", f"No such artifact: {path}")

    def _write(self, method: str, name: str, given: Json) -> Json:
        match method, name:
            case "POST", "model-versions/transition-stage":
                return self._transition(given)
            case "POST", "registered-models/alias":
                model, version = self._version(given)
                self.state._point(model.name, given["alias"], version.version)
            case "DELETE", "registered-models/alias":
                self.state._point(self._model(given).name, given["alias"], None)
            case "POST", "model-versions/set-tag":
                model, version = self._version(given)
                self.state._tag(model.name, version.version, given["key"], given["value"])
            case "DELETE", "model-versions/delete-tag":
                model, version = self._version(given)
                self.state._tag(model.name, version.version, given["key"], None)
            case "POST", "registered-models/set-tag":
                self.state._tag_model(self._model(given).name, given["key"], given["value"])
            case "DELETE", "registered-models/delete-tag":
                self.state._tag_model(self._model(given).name, given["key"], None)
            case "DELETE", "registered-models/delete":
                self.state._delete(self._model(given).name)
            case _:
                raise AssertionError(f"MLflow knows no {method} {name}")
        return {}

    def _transition(self, given: Json) -> Json:
        model, version = self._version(given)
        stage = Stage(given["stage"])
        if given["archive_existing_versions"]:
            if stage not in (Stage.PRODUCTION, Stage.STAGING):
                raise Failure(500, "INTERNAL_ERROR", f"nothing is archived for {stage}")
            self.state._transition(model.name, version.version, stage)
        else:
            self.state._move(model.name, version.version, stage)
        return {"model_version": self._listed_version(*self._version(given))}

    def _model(self, given: Mapping[str, Any]) -> RegisteredModel:
        model = self.state.models.get(given["name"])
        if model is None:
            raise _absent(f"Registered Model with name={given['name']} not found")
        return model

    def _version(self, given: Mapping[str, Any]) -> tuple[RegisteredModel, ModelVersion]:
        model = self.state.models.get(given["name"])
        version = model.get(int(given["version"])) if model else None
        if model is None or version is None:
            raise _absent(f"Model Version (name={given['name']}, version={given['version']}) not found")
        return model, version

    def _found(self, given: Mapping[str, Any]) -> list[Json]:
        """Return versions, the last one changed first as MLflow orders them."""
        wanted = _NAMED.fullmatch(given["filter"]) if "filter" in given else None
        assert wanted or "filter" not in given, f"MLflow cannot read the filter {given['filter']}"
        names = [wanted[1] if wanted[1] is not None else wanted[2]] if wanted else list(self.state.models)
        models = [self.state.models[name] for name in names if name in self.state.models]
        found = [(m, v) for m in models for v in m.versions]
        found.sort(key=lambda pair: (-self.state.changed(pair[0].name, pair[1]), pair[0].name, -pair[1].version))
        return [self._listed_version(m, v) for m, v in found]

    def _listed_model(self, model: RegisteredModel) -> Json:
        latest: dict[Stage, ModelVersion] = {v.stage: v for v in model.versions}
        aliases = [{"alias": a, "version": str(v.version)} for v in model.versions for a in sorted(v.aliases)]
        listed = {
            "name": model.name,
            "creation_timestamp": 0,
            "last_updated_timestamp": 0,
            "latest_versions": [self._listed_version(model, v) for v in latest.values()],
            "tags": _tags(model.tags),
            "aliases": aliases,
        }
        return {key: value for key, value in listed.items() if value != []}

    def _listed_version(self, model: RegisteredModel, version: ModelVersion) -> Json:
        listed = {
            "name": model.name,
            "version": str(version.version),
            "creation_timestamp": round(version.created_at.timestamp() * 1000),
            "last_updated_timestamp": self.state.changed(model.name, version),
            "current_stage": version.stage.value,
            "description": "",
            "source": version.source,
            "run_id": version.run_id,
            "status": "READY" if version.ready else "PENDING_REGISTRATION",
            "run_link": "",
            "tags": _tags(version.tags),
        }
        return {key: value for key, value in listed.items() if value != []}

    def _run(self, run_id: str) -> Json:
        metrics = self.state.run_metrics(run_id)
        if metrics is None:
            raise _absent(f"Run with id={run_id} not found")
        listed = [{"key": key, "value": _number(value), "timestamp": 1, "step": 0} for key, value in metrics.items()]
        return {"run": {"info": {"run_id": run_id}, "data": {"metrics": listed} if listed else {}}}


def _absent(message: str) -> Failure:
    return Failure(404, "RESOURCE_DOES_NOT_EXIST", message)


def _page(field: str, rows: Sequence[Json], given: Mapping[str, Any], most: int, skipped: int) -> Json:
    first = int(given.get("page_token", 0))
    begin = first + skipped if first else 0
    size = min(int(given["max_results"]), most)
    page: Json = {field: list(rows[begin : begin + size])} if rows[begin : begin + size] else {}
    return {**page, "next_page_token": str(begin + size)} if begin + size < len(rows) else page


def _tags(tags: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _number(value: float) -> float | str:
    """Write a metric as MLflow over SQL does: infinity is kept as the largest double, NaN is a word."""
    if math.isnan(value):
        return "NaN"
    return math.copysign(1.7976931348623157e308, value) if math.isinf(value) else value
