"""Training by the KFP API, which knows no idempotency: run ids are its own, and names need not be unique.

So a run's display name is `<prefix>/<model>/<key>/<attempt>`. Before one is created its name is looked for, and after
it is created the name is looked for again: of several the oldest counts, and the others are terminated. What remains, a
request that lands after both looks, is caught by the pipeline's last step, which registers a key once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.errors import Refused, Transient, UnknownOutcome
from reconciler.observed import Package, PipelineVersion, RunState, TrainingRequest, TrainingRun
from reconciler.ports import Clock
from reconciler.systems.training.failure import bounded
from reconciler.systems.training.kfp_client import KfpClient
from reconciler.systems.training.package import Compiled, arguments, caches, compiled, read_package, uncached

_STATES = {
    "PENDING": RunState.PENDING,
    "RUNNING": RunState.RUNNING,
    "PAUSED": RunState.RUNNING,
    "CANCELING": RunState.RUNNING,
    "SUCCEEDED": RunState.SUCCEEDED,
    "SKIPPED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "CANCELED": RunState.STOPPED,
}
_ATTEMPT = re.compile(r"[0-9]{1,6}")
_ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED})


@dataclass(frozen=True, slots=True)
class KfpNames:
    """Where runs go: `namespace` only for a KFP with several users; `host` is what run pages are linked to."""

    host: str
    prefix: str
    experiment: str
    namespace: str | None = None


class KfpTraining:
    """Runs pipelines by the KFP API.

    `settle` is how long a request whose answer was lost may still land: until then an absent run is not created again.
    """

    def __init__(
        self, client: KfpClient, names: KfpNames, *, tracking_uri: str, settle: timedelta, clock: Clock
    ) -> None:
        self._client = client
        self._names = names
        self._tracking_uri = tracking_uri
        self._settle = settle
        self.settle_seconds = settle.total_seconds()
        self._clock = clock
        self._lock = threading.Lock()
        self._experiment_id: str | None = None
        self._unsettled: dict[str, datetime] = {}

    def runs(self, model: str) -> tuple[TrainingRun, ...]:
        """Return the model's runs, oldest first; of several under one name, the oldest."""
        found = self._find(f"{self._names.prefix}/{model}/")
        oldest = {each.display_name: each for each in reversed(found)}
        runs = [self._observed(each) for each in oldest.values()]
        return tuple(sorted(runs, key=lambda run: (run.created_at, run.run_id)))

    def ensure_started(self, request: TrainingRequest) -> TrainingRun:
        """Start the run of this key and attempt, or return the one that exists.

        Raises UnknownOutcome when the answer was lost, Transient while such a request may still land, and Refused when
        the pipeline is not known or its parameters do not fit.
        """
        name = f"{self._names.prefix}/{request.model}/{request.key}/{request.attempt}"
        source, given = self._source(request)
        with self._lock:
            if found := self._named(name):
                self._unsettled.pop(name, None)
                return self._only(found)
            if (known := self._known(request.started_as)) is not None:
                return known
            self._check_settled(name)
            return self._create(name, request, source, given)

    def ensure_stopped(self, model: str, run_id: str) -> None:
        """Terminate a run; ended already, or gone, is success. Raises Refused for a run of somebody else."""
        run = self._client.get_run(run_id)
        if run is None or (run.run_id == run_id and _state(run) in _ENDED):
            return
        if run.run_id != run_id:
            raise Transient(f"reading run {run_id}: the answer shows no such run")
        if not (run.display_name or "").startswith(f"{self._names.prefix}/{model}/"):
            raise Refused(f"run {run_id} is {run.display_name!r}, which is no training of {model}")
        self._client.terminate_run(run_id)

    def _create(
        self, name: str, request: TrainingRequest, source: dict[str, Any], given: dict[str, Any]
    ) -> TrainingRun:
        body = {
            **source,
            "experiment_id": self._experiment(),
            "display_name": name,
            "description": _description(request),
            "parameters": given,
        }
        try:
            made = self._client.create_run(body)
        except UnknownOutcome:
            self._unsettled[name] = self._clock() + self._settle
            raise
        try:
            found = self._named(name)
        except Transient:
            found = []  # that it runs is known, and must not be lost for want of a second look
        return self._only(found) if found else self._observed(made)

    def _known(self, run_id: str) -> TrainingRun | None:
        """Return a run that is on record by its id; a list that leaves it out is no proof that it is gone."""
        run = self._client.get_run(run_id) if run_id else None
        if run is None:
            return None
        if run.run_id != run_id:
            raise Transient(f"reading run {run_id}: the answer shows no such run")
        return self._observed(run)

    def _check_settled(self, name: str) -> None:
        """Refuse to create while an earlier request for the same run may still be on its way."""
        until = self._unsettled.get(name)
        if until is not None and (left := (until - self._clock()).total_seconds()) > 0:
            raise Transient(f"an earlier request for {name} may still land; looking again", retry_after=left)
        self._unsettled.pop(name, None)

    def _only(self, found: list[Any]) -> TrainingRun:
        for later in found[1:]:
            if _state(later) not in _ENDED:
                self._client.terminate_run(later.run_id)
        return self._observed(found[0])

    def _named(self, name: str) -> list[Any]:
        return [each for each in self._find(name) if each.display_name == name]

    def _find(self, text: str) -> list[Any]:
        """Return the runs whose name begins with a text, oldest first.

        KFP leaves empty fields out, so `{}` is what an empty list looks like, and what a proxy in trouble answers too.
        It counts as empty when the experiment can be read by its id in between, and a second look is empty as well.
        """
        experiment = self._experiment()
        found = self._client.runs(experiment, text)
        if not found:
            self._check_experiment(experiment)
            found = self._client.runs(experiment, text)
        ours = [each for each in found if (each.display_name or "").startswith(text)]
        return sorted(ours, key=lambda run: (_created(run), run.run_id))

    def _check_experiment(self, experiment_id: str) -> None:
        seen = self._client.get_experiment(experiment_id)
        if seen is None or seen.experiment_id != experiment_id:
            self._experiment_id = None
            raise Transient(
                f"the KFP API shows no runs, and not experiment {self._names.experiment} either: not taken for empty"
            )

    def _experiment(self) -> str:
        if self._experiment_id is None:
            self._experiment_id = self._found_experiment() or self._client.create_experiment(
                self._names.experiment, self._names.namespace
            )
        if self._experiment_id is None:
            raise Transient(f"experiment {self._names.experiment} exists, but the KFP API does not list it")
        return self._experiment_id

    def _found_experiment(self) -> str | None:
        found = self._client.experiments(self._names.experiment, self._names.namespace)
        return str(found[0].experiment_id) if found else None

    def _source(self, request: TrainingRequest) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what to run, with no task taking an older run's result, and the arguments."""
        match request.pipeline:
            case Package() as package:
                pipeline = read_package(package)
                source = {"pipeline_spec": _inline(pipeline)}
            case PipelineVersion(name, version):
                known = self._version(name, version)
                pipeline = _compiled(known, f"pipeline {name} {version}")
                source = {"pipeline_version_reference": _reference(known)}
                # A reference runs as it was uploaded; only a spec of our own can do without the cache.
                if caches(pipeline.spec):
                    source = {"pipeline_spec": _inline(pipeline)}
        return source, arguments(pipeline, request, self._tracking_uri)

    def _version(self, name: str, version: str) -> Any:
        pipeline = self._client.pipeline(name, self._names.namespace)
        if pipeline is None:
            raise Refused(f"the KFP API knows no pipeline named {name}", help="upload it, or correct the name")
        if not pipeline.pipeline_id:
            raise Transient(f"reading pipeline {name}: the answer shows no such pipeline")
        found = self._client.pipeline_versions(pipeline.pipeline_id, version)
        if not found:
            raise Refused(f"pipeline {name} has no version named {version}", help="upload it, or correct the version")
        return found[0]

    def _observed(self, run: Any) -> TrainingRun:
        key, _, attempt = (run.display_name or "").rpartition("/")
        state = _state(run)
        return TrainingRun(
            key=key.rpartition("/")[2],
            attempt=int(attempt) if _ATTEMPT.fullmatch(attempt) else 0,
            run_id=run.run_id,
            state=state,
            created_at=_created(run),
            finished_at=_utc(run.finished_at) if state in _ENDED and run.finished_at else None,
            cause=_cause(run) if state is RunState.FAILED else None,
            url=f"{self._names.host.rstrip('/')}/#/runs/details/{run.run_id}",
        )


def _inline(pipeline: Compiled) -> dict[str, Any]:
    spec = uncached(pipeline.spec)
    return spec if pipeline.platform is None else {"pipeline_spec": spec, "platform_spec": pipeline.platform}


def _compiled(version: Any, where: str) -> Compiled:
    spec = version.pipeline_spec
    if isinstance(spec, dict) and "pipeline_spec" in spec:
        return compiled(spec["pipeline_spec"], spec.get("platform_spec"), where)
    return compiled(spec, None, where)


def _reference(version: Any) -> dict[str, str]:
    return {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.pipeline_version_id}


def _description(request: TrainingRequest) -> str:
    match request.pipeline:
        case Package(path):
            what = path
        case PipelineVersion(name, version):
            what = f"{name} {version}"
    return f"Trains {request.registered_model} from {what}, for model-reconciler. Key {request.key}."


def _state(run: Any) -> RunState:
    return _STATES.get(run.state if isinstance(run.state, str) else "", RunState.PENDING)


def _created(run: Any) -> datetime:
    if run.created_at is None or not run.run_id:
        raise Transient(f"run {run.run_id} has no creation time, or no id: the answer was cut")
    return _utc(run.created_at)


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (OverflowError, ValueError) as error:
        raise Transient(f"the KFP API gives a time beyond the calendar: {moment}") from error


def _cause(run: Any) -> str:
    said = [_message(run.error), *_failed_tasks(run.run_details.task_details if run.run_details else None)]
    return bounded("; ".join(each for each in said if each) or "the pipeline failed; its page shows the logs")


def _failed_tasks(tasks: Iterable[Any] | None) -> list[str]:
    failed = [each for each in tasks or [] if each.state == "FAILED"]
    return [f"step {each.display_name}: {_message(each.error) or 'failed'}" for each in failed]


def _message(error: Any) -> str:
    return str(error.message or "") if error is not None else ""
