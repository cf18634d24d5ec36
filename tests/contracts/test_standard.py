"""How KServe behaves in Standard mode, and what the adapter makes of it: over HTTP, on either API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired.serving import Serving
from reconciler.errors import Conflict, Transient
from reconciler.manifest import inference_service, predictor_name, release_of, serving_fields
from reconciler.observed import InferenceService, ReleaseRecord
from reconciler.systems.serving.standard import deployment_name
from tests.clusters import deployments_run
from tests.contracts.servings import Bench, InstantPods, over_http
from tests.contracts.test_serving import cluster

__all__ = ["cluster"]
MODEL = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}


@pytest.fixture
def bench(cluster: tuple[Path, Any], real_cluster: Path | None) -> Iterator[Bench]:
    kubeconfig, pods = cluster
    if not isinstance(pods, InstantPods) or (real_cluster and deployments_run(real_cluster)):
        pytest.skip("needs the stand-in, and that nobody else makes Pods of Deployments")
    rests_after = 1.0 if real_cluster else 0.15
    with over_http(kubeconfig, pods, rests_after) as found:
        yield found


def record(bench: Bench, version: int, **predictor: Any) -> ReleaseRecord:
    spec = {"namespace": bench.namespace, "mode": "Standard", "predictor": {"model": MODEL, **predictor}}
    serving = Serving.model_validate(spec)
    return ReleaseRecord(release_of(version, serving), f"s3://models/iris/{version}", serving_fields(serving))


def of(bench: Bench, version: int, **predictor: Any) -> dict[str, Any]:
    return inference_service("iris", record(bench, version, **predictor), None)


def canary(bench: Bench, percent: int, **predictor: Any) -> dict[str, Any]:
    """Render version 2 at this share beside version 1."""
    return inference_service("iris", record(bench, 2, **predictor), percent, record(bench, 1, **predictor))


def deployment(bench: Bench, version: int) -> str:
    return deployment_name("iris", predictor_name(record(bench, version)))


def shares(found: InferenceService) -> dict[str, int]:
    return {target.revision: target.percent for target in found.traffic if target.percent}


def serves(bench: Bench, version: int) -> Any:
    name = deployment(bench, version)
    return lambda s: s.ready and s.latest_created == s.latest_ready == name and shares(s) == {name: 100} and s.splits


def test_a_first_apply_makes_a_deployment_that_gets_everything(bench: Bench) -> None:
    bench.serving.apply(of(bench, 1))
    found = bench.until(serves(bench, 1))
    assert (found.release, found.canary_percent) == (record(bench, 1).release, None)


@pytest.mark.parametrize("percent", [0, 10, 50])
def test_a_canary_gets_its_share_and_the_stable_predictor_the_rest(bench: Bench, percent: int) -> None:
    bench.serving.apply(of(bench, 1))
    bench.until(serves(bench, 1))
    bench.serving.apply(canary(bench, 0))
    bench.until(lambda s: s.latest_ready == deployment(bench, 2) and shares(s) == {deployment(bench, 1): 100})
    bench.serving.apply(canary(bench, percent))
    wanted = {deployment(bench, 1): 100 - percent} | ({deployment(bench, 2): percent} if percent else {})
    found = bench.until(lambda s: shares(s) == wanted and s.canary_percent == percent)
    assert (found.release, found.beside) == (record(bench, 2).release, record(bench, 1).release)


def test_a_canary_that_does_not_load_gets_nothing(bench: Bench) -> None:
    bench.serving.apply(of(bench, 1))
    bench.until(serves(bench, 1))
    bench.hang(2)
    bench.serving.apply(canary(bench, 50))
    found = bench.until(lambda s: deployment(bench, 2) in s.unready and bool(s.traffic))
    assert shares(found) == {deployment(bench, 1): 100}
    assert found.latest_ready != deployment(bench, 2)


def test_a_stable_predictor_without_pods_keeps_all_callers_until_it_is_replaced(bench: Bench) -> None:
    bench.serving.apply(of(bench, 1))
    bench.until(serves(bench, 1))
    bench.hang(1)
    found = bench.until(lambda s: deployment(bench, 1) in s.unready_since)
    assert found.unready == {deployment(bench, 1)}
    assert found.latest_ready == deployment(bench, 1)
    assert not found.ready
    bench.serving.apply(canary(bench, 50))
    found = bench.until(lambda s: s.latest_ready == deployment(bench, 2))
    bench.rest()
    assert shares(found) == {deployment(bench, 1): 100}
    bench.serving.apply(of(bench, 2))
    bench.until(serves(bench, 2))


def test_a_canary_that_loses_its_pods_loses_its_callers(bench: Bench) -> None:
    bench.serving.apply(of(bench, 1))
    bench.until(serves(bench, 1))
    bench.serving.apply(canary(bench, 50))
    bench.until(lambda s: shares(s) == {deployment(bench, 1): 50, deployment(bench, 2): 50})
    bench.hang(2)
    bench.until(lambda s: shares(s) == {deployment(bench, 1): 100} and s.unready == {deployment(bench, 2)})


def test_a_promoted_canary_keeps_its_deployment_and_gets_everything(bench: Bench) -> None:
    bench.serving.apply(of(bench, 1))
    bench.until(serves(bench, 1))
    bench.serving.apply(canary(bench, 50))
    bench.until(lambda s: shares(s) == {deployment(bench, 1): 50, deployment(bench, 2): 50})
    bench.serving.apply(of(bench, 2))
    found = bench.until(serves(bench, 2))
    assert (found.release, found.canary_percent) == (record(bench, 2).release, None)


def test_a_canary_that_is_taken_back_leaves_the_stable_predictor_alone(bench: Bench) -> None:
    bench.serving.apply(of(bench, 1))
    bench.until(serves(bench, 1))
    bench.serving.apply(canary(bench, 10))
    bench.until(lambda s: shares(s) == {deployment(bench, 1): 90, deployment(bench, 2): 10})
    with pytest.raises(Transient):
        bench.serving.apply(of(bench, 1))
    bench.serving.apply(canary(bench, 0))
    bench.until(lambda s: shares(s) == {deployment(bench, 1): 100})
    bench.serving.apply(of(bench, 1))
    bench.until(lambda s: serves(bench, 1)(s) and deployment(bench, 2) not in (s.revisions or {}))


def test_nothing_drifts_after_a_write(bench: Bench) -> None:
    for wanted in (of(bench, 1), canary(bench, 0), canary(bench, 10), of(bench, 2)):
        bench.serving.apply(wanted)
        bench.rest()
        assert bench.serving.drift(wanted) == ()


def test_a_field_that_somebody_set_stays_until_we_want_it_too_and_is_not_overwritten_then(bench: Bench) -> None:
    bench.serving.apply(of(bench, 1))
    bench.serving.apply(canary(bench, 0))
    bench.edit({"minReplicas": 5})
    bench.rest()
    assert "spec.predictor.minReplicas" not in bench.serving.drift(canary(bench, 0))
    with pytest.raises(Conflict):
        bench.serving.apply(canary(bench, 0, minReplicas=2))
