"""Save small MLflow models below the given folder; a process of its own, for MLflow's import warns."""

from __future__ import annotations

import sys
from pathlib import Path

import mlflow.sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier


def main(root: Path) -> None:
    """Save v0, v1 and v2, which answer their own number, and `broken`, which cannot load."""
    table, target = load_iris(return_X_y=True, as_frame=True)
    for name, answer in {"v0": 0, "v1": 1, "v2": 2, "broken": 0}.items():
        mlflow.sklearn.save_model(
            DummyClassifier(strategy="constant", constant=answer).fit(table, target),
            str(root / name),
            serialization_format="skops",
            pip_requirements=["scikit-learn"],
            signature=infer_signature(table, target),
        )
    (root / "broken" / "model.skops").write_bytes(b"this is no model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
