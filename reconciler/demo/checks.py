"""Hold the end of the stories against the systems themselves, not against what the reconciler says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reconciler.audit.database import open_for_reading
from reconciler.audit.ledger import LedgerReader
from reconciler.demo.load import Seen
from reconciler.demo.stack import NAMESPACE, Stack
from reconciler.desired.documents import Rollout
from reconciler.desired.duration import format_duration
from reconciler.desired.parse import parse_file
from reconciler.observed import TAG_REJECTED, RegisteredModel, Stage
from reconciler.settings import load_settings
from reconciler.systems.registry.rest import MlflowRegistry

CANDIDATE = "iris"
_SERVER = {"Knative": "revision", "Standard": "Deployment"}
LEAST_OF_RATE = 0.9


@dataclass(frozen=True, slots=True)
class Bound:
    """What a bad candidate may spoil: its share of the requests of one interval of the check that finds it out."""

    share: int
    per_second: float
    interval: timedelta

    @property
    def requests(self) -> int:
        """Return how many requests that are."""
        return math.floor(self.share / 100 * self.per_second * self.interval.total_seconds())

    def __str__(self) -> str:
        """Write the number, and what it is made of."""
        return f"{self.requests}: {self.share} % of {self.per_second:g} a second in {format_duration(self.interval)}"


def bound_of(rollout: Rollout, per_second: float) -> Bound:
    """Return the bound of a rollout whose first step the candidate does not survive."""
    return Bound(rollout.steps[0].traffic, per_second, max(check.interval for check in rollout.analysis))


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be true at the end; `seen` is what was found."""

    what: str
    holds: bool
    seen: str


def end_checks(stack: Stack, seen: Mapping[str, Seen], spoilt_before: int | None) -> tuple[Check, ...]:
    """Check versions, stages, aliases, live traffic, predictions and the ledger.

    `spoilt_before` is how many of the candidate's callers were failed before the bad story; None when it was not told.
    """
    settings = load_settings(stack.folders.settings, {})
    with MlflowRegistry(settings.mlflow) as registry:
        models = registry.read_all()
    return (
        *_registry(models["iris"], {1: Stage.ARCHIVED, 2: Stage.PRODUCTION, 3: Stage.ARCHIVED}, champion=2),
        *_registry(models["diabetes"], {1: Stage.PRODUCTION}, champion=1),
        _rejected(models["iris"]),
        *_traffic(stack, models),
        *callers_checks(seen, spoilt_before, _rollout(stack)),
        _ledger(settings.database_url),
    )


def _registry(model: RegisteredModel, stages: Mapping[int, Stage], champion: int) -> Iterator[Check]:
    found = {v.version: v.stage for v in model.versions}
    words = ", ".join(f"{number} {stage.value}" for number, stage in found.items())
    yield Check(f"{model.name}: versions and stages", found == stages, words)
    holders = [v.version for v in model.versions if "champion" in v.aliases]
    yield Check(f"{model.name}: alias champion", holders == [champion], f"on version {holders}")
    challengers = [v.version for v in model.versions if "challenger" in v.aliases]
    yield Check(f"{model.name}: no challenger is left", not challengers, f"on version {challengers}")


def _rejected(model: RegisteredModel) -> Check:
    version = model.get(3)
    tag = version.tags.get(TAG_REJECTED, "") if version else ""
    return Check("iris: version 3 is marked rejected, with the evidence", "agreement" in tag, tag[:160])


def _traffic(stack: Stack, models: Mapping[str, RegisteredModel]) -> Iterator[Check]:
    from kubernetes import client, config  # noqa: PLC0415  not for the other commands

    configuration = client.Configuration()
    config.load_kube_config(str(stack.folders.kubeconfig), client_configuration=configuration)
    with client.ApiClient(configuration) as api:
        objects = client.CustomObjectsApi(api)
        for name, version in (("iris", 2), ("diabetes", 1)):
            live = objects.get_namespaced_custom_object(
                "serving.kserve.io", "v1beta1", NAMESPACE, "inferenceservices", name
            )
            shares = _routed(objects, name, live) if stack.mode == "Standard" else _shares(live)
            run = models[name].get(version)
            uri = str(live["spec"]["predictor"]["model"]["storageUri"])
            whole = [percent for _, percent in shares if percent] == [100]
            yield Check(f"{name}: one {_SERVER[stack.mode]} has all traffic", whole, str(shares))
            label = str(live["spec"]["predictor"]["labels"]["reconciler.dev/release"])
            right = run is not None and label.startswith(f"{version}-")
            yield Check(f"{name}: version {version} is what is served", right, f"{label} from {uri}")


def _shares(live: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [(t["revisionName"], t["percent"]) for t in live["status"]["components"]["predictor"]["traffic"]]


def _routed(objects: Any, name: str, live: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return what the route sends where, in percent: weights are relative to each other."""
    namespace = live["metadata"]["namespace"]
    route = objects.get_namespaced_custom_object("gateway.networking.k8s.io", "v1", namespace, "httproutes", name)
    weights = [(b["name"], b.get("weight", 1)) for rule in route["spec"]["rules"] for b in rule["backendRefs"]]
    total = sum(weight for _, weight in weights)
    return [(backend, round(100 * weight / total)) for backend, weight in weights if weight]


def _rollout(stack: Stack) -> Rollout:
    path = f"models/{CANDIDATE}.yaml"
    parsed = parse_file(path, (stack.folders.repository / path).read_bytes())
    return Rollout.model_validate(parsed.documents[0].value()["spec"]["rollout"])


def callers_checks(seen: Mapping[str, Seen], spoilt_before: int | None, rollout: Rollout) -> Iterator[Check]:
    """Hold what callers saw against what they may see."""
    for name, calls in seen.items():
        yield from _load(name, calls)
        wrong = ", ".join(f"{n} by {revision}" for revision, n in calls.unexpected_by_revision.items()) or "none"
        if name != CANDIDATE:
            yield Check(f"{name}: no answer was wrong", not calls.unexpected, wrong)
            continue
        before = calls.bad if spoilt_before is None else spoilt_before
        bound = bound_of(rollout, calls.per_second)
        kept = before == 0 and len(calls.unexpected_by_revision) <= 1 and calls.bad - before <= bound.requests
        what = f"{name}: wrong answers came from the bad candidate alone, and no more than its share of one interval"
        yield Check(what, kept, f"{wrong}, bound {bound}")


def _load(name: str, calls: Seen) -> Iterator[Check]:
    statuses = "".join(f"; {count:,} answered {status}" for status, count in sorted(calls.by_status.items()))
    found = f"{calls.failed} of {calls.sent:,} requests failed, bound 0{statuses} {calls.last_failure}"
    yield Check(f"{name}: no caller's request failed", calls.sent > 0 and calls.failed == 0, found)
    constant = calls.rate >= calls.per_second * LEAST_OF_RATE
    yield Check(f"{name}: {calls.per_second:g} requests a second all the while", constant, f"{calls.rate:.1f} a second")


def _ledger(url: str) -> Check:
    database = open_for_reading(url)
    try:
        verification = LedgerReader(database).verify()
    finally:
        database.close()
    return Check("the ledger verifies", verification.ok, f"{verification.entries} entries")
