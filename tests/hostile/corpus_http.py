"""What servers answer, over real HTTP: MLflow, KFP, a predictor, Kubernetes, and what pretends to be our own API."""

from __future__ import annotations

import json
import tempfile
import threading
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from reconciler.cli import client
from reconciler.cli.client import all_models, one_model
from reconciler.errors import ReconcilerError
from reconciler.observed import Known, ModelVersion, PipelineVersion, Stage, TrainingRequest
from reconciler.ports import ProbeTarget
from reconciler.settings import KubernetesSettings, MlflowSettings
from reconciler.systems.probe import HttpProber
from reconciler.systems.registry.rest import MlflowRegistry
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from reconciler.systems.serving.reflector import Pace
from reconciler.systems.training.kfp_api import KfpNames, KfpTraining
from reconciler.systems.training.kfp_client import KfpClient
from tests.systems.scripted_http import Answer, Asked, Cut, Drip, Reply, scripted
from tests.systems.serving import scripted as cluster

EXPECTED = (ReconcilerError,)
MIB = 1024 * 1024
NOW = datetime(2026, 8, 20, tzinfo=UTC)
LIMIT = timedelta(seconds=0.4)

_DEEP = b"[" * 100_000
_DIGITS = b"9" * 100_000
_FIELDS = (
    "registered_models", "model_versions", "registered_model", "run", "next_page_token", "runs", "experiments",
    "pipelines", "pipeline_versions", "items", "metadata", "total_size", "artifact_uri", "error",
    "state", "message", "error_code",
    "details", "outputs", "predictions", "causes", "next",
)  # fmt: skip
_VERSION = b'{"registered_models": [{"name": "iris"}], "model_versions": [{"name": "iris", "creation_timestamp": 1, '
BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "an empty object": b"{}",
    "null": b"null",
    "a list": b"[]",
    "a number": b"5",
    "a page": b"<html><body>503 \x1b[31m</body></html>",
    "bytes that are no text": b"\xff\xfe\x00\x80",
    "a NUL": b"\0",
    "an object that ends early": b'{"a": [1, 2',
    "lists nested without end": _DEEP,
    "lists nested 900 deep": b"[" * 900 + b"]" * 900,
    "a number of 100,000 digits": _DIGITS,
    "a text of 10 MB": b'{"message": "' + b"a" * 10 * MIB + b'"}',
    "every field null": json.dumps(dict.fromkeys(_FIELDS)).encode(),
    "every field a number": json.dumps(dict.fromkeys(_FIELDS, 5)).encode(),
    "every list of nulls": json.dumps({name: [None] for name in _FIELDS}).encode(),
    "a version of 100,000 digits": _VERSION + b'"version": ' + _DIGITS + b"}]}",
    "a version that is infinite": _VERSION + b'"version": 1e999}]}',
    "a stage of 10 MB": _VERSION + b'"version": 1, "current_stage": "' + b"a" * 10 * MIB + b'"}]}',
    "a time beyond all calendars": b'{"model_versions": [{"name": "iris", "version": 1, "creation_timestamp": 9e18}]}',
    "a metric that is huge": b'{"run": {"data": {"metrics": [{"key": "a", "value": ' + _DIGITS[:4_000] + b"}]}}}",
    "runs that are text": b'{"runs": "abc", "experiments": {"a": 1}, "total_size": 1}',
    "a run of odd types": json.dumps({"runs": [{"run_id": [], "display_name": {}, "created_at": "99999999999999999999",
        "state": {"a": 1}, "error": 5, "run_details": []}], "experiments": [{"experiment_id": {}}]}).encode(),
    "a run of the first year": json.dumps({"runs": [{"run_id": "r", "display_name": "model-reconciler/iris/k/²",
        "created_at": "0001-01-01T00:00:00+23:59"}], "experiments": [{"experiment_id": "e",
        "display_name": "model-reconciler"}], "experiment_id": "e"}).encode(),
    "a page that never ends": json.dumps({"next_page_token": "again", "registered_models": [], "model_versions": [],
        "runs": [], "experiments": [], "items": [], "next": "a"}).encode(),
    "the models of another service": json.dumps({"items": [{"name": 5}, None, "x"], "next": None}).encode(),
}  # fmt: skip


class Counting:
    """Answers with the same body, and a page token that is always new."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._pages = 0

    def __call__(self, _asked: Asked) -> Reply:
        self._pages += 1
        return Answer(self._body.replace(b'"again"', b'"%d"' % self._pages))


def _bomb() -> bytes:
    """Return 1 MB that unfolds to 1 GB."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(b"a" * MIB) for _ in range(1024)) + packer.flush()


BOMB = _bomb()


def _answer(body: bytes, status: int, **headers: str) -> Callable[[Asked], Reply]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _asked: Answer(body, status, named)


SCRIPTS: Mapping[str, Callable[[], Callable[[Asked], Reply]]] = {
    **{f"{name} (200)": partial(_answer, body, 200) for name, body in BODIES.items()},
    **{f"{name} (404)": partial(_answer, body, 404) for name, body in list(BODIES.items())[:14]},
    **{f"{name} (500)": partial(_answer, body, 500) for name, body in list(BODIES.items())[4:12]},
    "pages without end": partial(Counting, BODIES["a page that never ends"]),
    "429 for a superscript": partial(_answer, b"{}", 429, retry_after="\xb2"),
    "429 for ever": partial(_answer, b"{}", 429, retry_after="9" * 400),
    "a redirect to a file": partial(_answer, b"", 302, location="file:///etc/passwd"),
    "a bomb of a gigabyte": partial(_answer, BOMB, 200, content_encoding="gzip"),
    "a bomb of a gigabyte (500)": partial(_answer, BOMB, 500, content_encoding="gzip"),
    "cut before an answer": lambda: lambda _asked: Cut(),
    "cut within an answer": lambda: lambda _asked: Cut(b'{"items": ['),
    "a drip": lambda: lambda _asked: Drip(),
}


def _each(*uses: Callable[[], object]) -> None:
    """Use an adapter in every way; each use ends well, or with an error of ours that is short."""
    for use in uses:
        said = _said(use)
        assert len(said) <= 2_000


def _said(use: Callable[[], object]) -> str:
    try:
        use()
    except ReconcilerError as error:
        return error.message
    return ""


def _mlflow(url: str) -> None:
    version = ModelVersion(1, Stage.NONE, frozenset(), {}, "run", "", NOW)
    with MlflowRegistry(MlflowSettings(tracking_uri=url, timeout=LIMIT)) as registry:
        _each(
            registry.read_all,
            lambda: registry.read("iris"),
            lambda: registry.evidence("iris", version),
            lambda: registry.artifact("iris", 1, "MLmodel"),
            lambda: registry.input_rows("iris", 1),
            lambda: registry.set_stage("iris", 1, Stage.PRODUCTION),
            lambda: registry.tag("iris", 1, "a", "b"),
            lambda: registry.delete("iris"),
        )


def _kfp(url: str) -> None:
    kfp = KfpClient(url, token=lambda: None, timeout=LIMIT)
    names = KfpNames(url, "model-reconciler", "model-reconciler")
    training = KfpTraining(kfp, names, tracking_uri=url, settle=timedelta(0), clock=lambda: NOW)
    pipeline = PipelineVersion("a", "1")
    asked = TrainingRequest("iris", "k", 1, "iris", pipeline, {}, timedelta(hours=1))
    run: dict[str, Any] = {"experiment_id": "e", "display_name": "n", "description": "", "parameters": {}}
    _each(
        lambda: training.runs("iris"),
        lambda: training.ensure_started(asked),
        lambda: training.ensure_stopped("iris", "r"),
        lambda: kfp.create_run(run),
        lambda: kfp.create_experiment("a", None),
    )


def _predictor(url: str) -> None:
    with HttpProber(LIMIT, LIMIT * 2) as prober:
        for protocol in ("v1", "v2"):
            result = prober.probe(ProbeTarget(url, "iris", protocol), [[1.0]], 4, lambda: None)
            assert result.side.requests == len([a for a in result.answers if a is not None]) + result.side.errors


def _own_api(url: str) -> None:
    client.TIMEOUT_SECONDS = LIMIT.total_seconds()  # type: ignore[assignment]  # ten seconds are for people
    _each(lambda: all_models(url), lambda: one_model(url, "iris"))


def _asked(use: Callable[[str], None], script: Callable[[], Callable[[Asked], Reply]]) -> None:
    with scripted(script()) as server:
        use(server.url)


def _listed(reply: cluster.Reply, lines: tuple[bytes, ...] = ()) -> None:
    """List and watch what a hostile cluster says: the watch's thread goes on, and nothing odd is known."""
    with tempfile.TemporaryDirectory() as folder, cluster.scripted(Path(folder) / "kubeconfig") as script:
        script.on("list", reply)
        script.on("watch", cluster.Reply(lines=lines) if lines else cluster.quiet())
        settings = KubernetesSettings(kubeconfig=Path(folder) / "kubeconfig", timeout=LIMIT)
        pace = Pace(backoff_min=0.01, backoff_max=0.05, idle_seconds=1.0)
        options = Options(stale_after=timedelta(0), write_timeout=LIMIT, pace=pace)
        with KServe(Connection(settings), options, lambda: datetime.now(UTC), Random(1)) as serving:
            _until(lambda: script.count("list") >= 2 or script.count("watch") >= 2)
            seen = serving.read_all()
            assert not isinstance(seen, Known) or all(s.name and sum(t.percent for t in s.traffic) in (0, 100)
                                                      for s in seen.value.values())  # fmt: skip
            alive = [thread.name for thread in threading.enumerate() if thread.name.startswith("watch ")]
            assert len(alive) == 4, alive  # one for each kind that is watched


def _until(holds: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(500):
        if holds():
            return
        tick.wait(0.02)
    raise AssertionError("the cluster was not asked again")


def _line(kind: str, obj: object) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


_IRIS = cluster.service("iris", "5")
_SHARES = {**_IRIS, "status": {"components": {"predictor": {"traffic": [
    {"revisionName": "r1", "percent": -50}, {"revisionName": "r2", "percent": 150}]}}}}  # fmt: skip
_LABEL = {**_IRIS, "spec": {"predictor": {"labels": {"reconciler.dev/release": "²-abc"}}}}
_OWNED = {**_IRIS, "metadata": {**_IRIS["metadata"], "managedFields": [
    {"manager": "model-reconciler", "operation": "Apply", "fieldsV1": {"f:spec": 5}},
    {"manager": "model-reconciler", "operation": "Apply", "fieldsV1": {"f:spec": {"f:a": {"k:" + "[" * 10_000: {}}}}},
    None, "x"]}}  # fmt: skip
LINES: Mapping[str, bytes] = {
    "garbage": b"\xff\xfe garbage\n",
    "no object": b"5\n",
    "JSON nested without end": _DEEP + b"\n",
    "another kind": _line("ADDED", {"kind": "Secret", "metadata": {"name": "a", "resourceVersion": "6"}}),
    "a kind of 10 MB": _line("ADDED", {"kind": "a" * 10 * MIB}),
    "a type of 10 MB": _line("a" * 10 * MIB, _IRIS),
    "an object of 10 MB": _line("ADDED", {**_IRIS, "spec": {"a": "b" * 10 * MIB}}),
    "a line without end": b"a" * 20 * MIB,
    "shares below nothing": _line("MODIFIED", _SHARES),
    "a label that is no number": _line("MODIFIED", _LABEL),
    "managed fields of odd types": _line("MODIFIED", _OWNED),
    "a version that is no number": _line("MODIFIED", cluster.service("iris", "²")),
    "an error of odd types": _line("ERROR", {"code": [], "message": 5, "reason": {}}),
}  # fmt: skip
_ITEMS: Mapping[str, list[Any]] = {
    "nulls": [None], "texts": ["a"], "no names": [{"metadata": {}}], "shares": [_SHARES], "labels": [_LABEL],
    "managed fields": [_OWNED],
}  # fmt: skip


def _list_of(items: list[Any], **metadata: Any) -> cluster.Reply:
    found = {"resourceVersion": "5", **metadata}
    return cluster.Reply({"kind": "InferenceServiceList", "metadata": found, "items": items})


CASES: Mapping[str, Callable[[], object]] = {
    **{f"MLflow: {n}": partial(_asked, _mlflow, s) for n, s in SCRIPTS.items()},
    **{f"KFP: {n}": partial(_asked, _kfp, s) for n, s in SCRIPTS.items()},
    **{f"a predictor: {n}": partial(_asked, _predictor, s) for n, s in SCRIPTS.items()},
    **{f"our own API: {n}": partial(_asked, _own_api, s) for n, s in SCRIPTS.items()},
    **{f"a list of Kubernetes: {n}": partial(_listed, cluster.Reply(b)) for n, b in BODIES.items()},
    **{f"a list of Kubernetes with 403: {n}": partial(_listed, cluster.Reply(b, 403)) for n, b in BODIES.items()},
    **{f"a list of Kubernetes of {n}": partial(_listed, _list_of(i)) for n, i in _ITEMS.items()},
    "a list of Kubernetes without end": partial(_listed, _list_of([], **{"continue": "again"})),
    "a pause without end of Kubernetes": partial(_listed, cluster.Reply({}, 500, headers=(("Retry-After", "9" * 99),))),
    **{f"a watch of Kubernetes: {n}": partial(_listed, _list_of([]), (b,)) for n, b in LINES.items()},
}  # fmt: skip
