"""Thousands of models that differ as real ones do: by name and parameters, with a few serving templates."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "example-repo"
NAMESPACE = "models"
TEMPLATES = 5
PER_FOLDER = 100

_DOCUMENT = """\
apiVersion: reconciler.dev/v1alpha1
kind: Model
metadata:
  name: {name}
  labels: {{team: team-{team}}}
spec:
  training:
    kubeflowPipeline:
      package: pipelines/iris.yaml
    parameters:
      n_estimators: {estimators}
      max_depth: 4
    timeout: 10m
    retries: {{limit: 1, backoff: 10s}}
  promotion:
    gates:
      - {{metric: accuracy, min: 0.9}}
      - {{metric: f1_score, against: production, maxRegression: 0.05}}
  serving:
    namespace: models
    mode: Knative
    predictor:
      model:
        modelFormat: {{name: mlflow}}
        protocolVersion: v2
        resources:
          requests: {{cpu: 100m, memory: 256Mi}}
          limits: {{cpu: 500m, memory: 512Mi}}
      minReplicas: 1
      maxReplicas: {replicas}
  rollout:
    steps:
      - {{traffic: 10, hold: 15s}}
      - {{traffic: 50, hold: 15s}}
    analysis:
      - name: answers
        interval: 5s
        minSamples: 20
        probe:
          inputs: {{file: probes/iris.json}}
          requests: 20
          maxErrorRate: 0.01
          agreement: {{with: expected, min: 0.9}}
"""


def name_of(number: int) -> str:
    """Return a model's name."""
    return f"fleet-{number:05d}"


def path_of(number: int) -> str:
    """Return where a model's document stands: in folders of a hundred."""
    return f"models/group-{number // PER_FOLDER:03d}/{name_of(number)}.yaml"


def document(number: int, estimators: int | None = None, replicas: int | None = None) -> bytes:
    """Write a model's document."""
    return _DOCUMENT.format(
        name=name_of(number),
        team=number % 10,
        estimators=estimators or number + 10,
        replicas=replicas or template_of(number) + 1,
    ).encode()


def template_of(number: int) -> int:
    """Return which of the serving templates a model uses."""
    return number % TEMPLATES


@dataclass(frozen=True, slots=True)
class Repository:
    """The fleet's bare Git repository."""

    path: Path

    @classmethod
    def make(cls, path: Path, size: int) -> Repository:
        """Make a repository with `size` models, in one commit."""
        return cls.of(path, _files(size))

    @classmethod
    def of(cls, path: Path, files: Iterable[tuple[str, bytes]]) -> Repository:
        """Make a repository with these files, in one commit."""
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)
        repository = cls(path)
        repository._commit(list(files), "")
        return repository

    def change(self, number: int, estimators: int) -> None:
        """Commit another value of one parameter of one model."""
        self._commit([(path_of(number), document(number, estimators))], "from refs/heads/main^0\n")

    def resize(self, numbers: Iterable[int], replicas: int) -> None:
        """Commit another serving template for some models: each has to roll out the version that it serves."""
        files = [(path_of(number), document(number, replicas=replicas)) for number in numbers]
        self._commit(files, "from refs/heads/main^0\n")

    def _commit(self, files: list[tuple[str, bytes]], parent: str) -> None:
        said = b"a change"
        head = f"commit refs/heads/main\ncommitter A <a@example.com> 1767225600 +0000\ndata {len(said)}\n".encode()
        stream = [head, said, b"\n", parent.encode()]
        for path, data in files:
            stream += [f"M 100644 inline {path}\ndata {len(data)}\n".encode(), data, b"\n"]
        command = ["git", "-C", str(self.path), "fast-import", "--quiet", "--force"]
        subprocess.run(command, input=b"".join(stream), check=True)


def _files(size: int) -> Iterator[tuple[str, bytes]]:
    for path in ("pipelines/iris.yaml", "probes/iris.json"):
        yield path, (EXAMPLE / path).read_bytes()
    for number in range(size):
        yield path_of(number), document(number)
