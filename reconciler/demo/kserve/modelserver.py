"""One revision's process: KServe's own ModelServer over one MLflow model, V1 and V2, HTTP only."""

from __future__ import annotations

import logging
import pickle
import socket
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # no stubs among the dev dependencies
from kserve import InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput
from kserve.utils.utils import get_predict_response
from mlflow.exceptions import MlflowException


class ArtifactModel(Model):  # type: ignore[misc]  # kserve ships no types
    """A model directory as MLflow or scikit-learn saved it."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name)
        self._directory = directory
        self._columns: list[str] = []
        self._model: Any = None

    def load(self) -> bool:
        """Load the artifact; whatever it raises ends the process, as in a container."""
        if (self._directory / "MLmodel").is_file():
            self._model = mlflow.pyfunc.load_model(str(self._directory))
            schema = self._model.metadata.get_input_schema()
            self._columns = schema.input_names() if schema and schema.has_input_names() else []
        else:
            self._model = _load_pickle(self._directory)
        self.ready = True
        return self.ready

    async def predict(
        self,
        payload: dict[str, Any] | InferRequest,
        headers: dict[str, str] | None = None,  # noqa: ARG002  KServe passes it
        response_headers: dict[str, str] | None = None,  # noqa: ARG002  KServe passes it
    ) -> dict[str, Any] | InferResponse:
        """Answer a V1 or V2 request; inputs against the signature are the caller's error (400)."""
        try:
            result = self._model.predict(self._table(payload))
        except (MlflowException, ValueError) as error:
            raise InvalidInput(str(error)) from error
        plain = result.to_numpy() if isinstance(result, pd.Series) else result
        return get_predict_response(payload, plain, self.name)

    def _table(self, payload: dict[str, Any] | InferRequest) -> np.ndarray[Any, Any] | pd.DataFrame:
        if not isinstance(payload, dict):
            return self._tensors(payload)
        rows = payload.get("instances", payload.get("inputs"))
        if rows and isinstance(rows[0], dict):
            return pd.DataFrame(rows)
        return self._named(np.asarray(rows))

    def _tensors(self, request: InferRequest) -> np.ndarray[Any, Any] | pd.DataFrame:
        if len(request.inputs) == 1 and len(request.inputs[0].shape) > 1:
            return self._named(request.inputs[0].as_numpy())
        return pd.DataFrame({column.name: column.as_numpy().ravel() for column in request.inputs})

    def _named(self, matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | pd.DataFrame:
        if matrix.ndim == 2 and matrix.shape[1] == len(self._columns):
            return pd.DataFrame(matrix, columns=self._columns)
        return matrix


class LoopbackServer(ModelServer):  # type: ignore[misc]  # kserve ships no types
    """KServe's ModelServer on a socket that listens already, where its own binds every interface."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(
            http_port=listener.getsockname()[1],
            enable_grpc=False,
            enable_latency_logging=False,
            grace_period=10,
        )
        self._listener = listener
        for chatty in ("uvicorn.access", "kserve.trace"):
            logging.getLogger(chatty).setLevel(logging.WARNING)

    async def _serve(self) -> None:
        self._rest_server.config.fd = self._listener.fileno()
        await super()._serve()


def serve(name: str, directory: Path, listener: socket.socket) -> None:
    """Load the model, then serve it until SIGTERM."""
    model = ArtifactModel(name, directory)
    model.load()
    LoopbackServer(listener).start([model])


def _load_pickle(directory: Path) -> Any:
    candidates = sorted(p for p in directory.rglob("*") if p.suffix in (".pkl", ".pickle", ".joblib"))
    if len(candidates) != 1:
        raise RuntimeError(f"Model file not found or ambiguous in {directory}: {[p.name for p in candidates]}")
    with candidates[0].open("rb") as file:
        return pickle.load(file)  # noqa: S301  what KServe's sklearn server does with such an artifact
