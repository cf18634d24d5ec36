"""Log and register real models in a process of its own: python -m tests.systems.registry.logged NAME FORM.

A process of its own, because mlflow's fluent API keeps its address and its run in globals.
"""

from __future__ import annotations

import sys

import mlflow
import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # pandas ships no types
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

TABLE = pd.DataFrame({"width": [1.5, 2.5, 3.5], "petals": [1, 2, 3]})
INPUTS = {
    "table": TABLE,
    "matrix": TABLE.to_numpy(),
    "plain": None,
}


def main(name: str, form: str) -> None:
    """Train, log metrics odd ones among them, and register."""
    inputs = INPUTS[form]
    model = LogisticRegression().fit(TABLE if inputs is None else inputs, np.array([0, 1, 1]))
    with mlflow.start_run():
        mlflow.log_metric("accuracy", 0.5)
        mlflow.log_metrics({"accuracy": 0.9, "nothing": float("nan"), "up": float("inf"), "down": float("-inf")})
        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=None if inputs is None else infer_signature(inputs, model.predict(inputs)),
            input_example=None if inputs is None else inputs[:2],
            registered_model_name=name,
            pip_requirements=["scikit-learn"],
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
