"""The only place that builds adapters. Client libraries are imported here, when they are needed."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reconciler import __version__
from reconciler.ensure.scene import Systems
from reconciler.errors import SettingsError
from reconciler.metrics import Metrics
from reconciler.observe import Observer
from reconciler.passes import Changed
from reconciler.ports import Clock, Entry, Ledger, Memory, Source, Training
from reconciler.ports import Metrics as PrometheusMetrics
from reconciler.reconcile import ModelReconciler
from reconciler.redaction import Redactor, all_secrets
from reconciler.settings import Settings, TrainingSettings, secrets_read
from reconciler.systems.serving.kserve import KServe

PROBE_TIMEOUT, PROBE_DEADLINE = timedelta(seconds=5), timedelta(seconds=30)
# How long a lost request to the KFP API may still land, in its own time-outs.
SETTLE_TIMEOUTS = 4


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Built:
    """A reconciler with its adapters; closed by the context that built it."""

    reconciler: ModelReconciler
    systems: Systems
    source: Source
    serving: KServe

    def subscribe(self, changed: Changed) -> None:
        """Have `changed` called for every InferenceService that a watch sees change."""
        self.serving.on_change(changed)


@contextmanager
def build(settings: Settings, redactor: Redactor, clock: Clock, appended: Callable[[Entry], None]) -> Iterator[Built]:
    """Build every adapter and the reconciler over them; close them at the end. Raises SettingsError or Refused.

    Nobody else writes to the same state meanwhile. `appended` is told each entry that went on the ledger.
    """
    from reconciler.audit.database import open_database  # noqa: PLC0415  SQLAlchemy
    from reconciler.audit.ledger import SqlLedger  # noqa: PLC0415  SQLAlchemy
    from reconciler.audit.memory import SqlMemory  # noqa: PLC0415  SQLAlchemy
    from reconciler.audit.one_writer import only_writer  # noqa: PLC0415  SQLAlchemy
    from reconciler.desired.stored import from_json, to_json  # noqa: PLC0415  beside its only use

    with ExitStack() as stack:
        guard = stack.enter_context(only_writer(settings.state_dir, settings.database_url))
        database = open_database(settings.database_url, guard)
        stack.callback(database.close)
        memory = SqlMemory(database, to_json, from_json)
        ledger = SqlLedger(database, redactor.redact, appended)
        serving = stack.enter_context(build_serving(settings, clock))
        systems = build_systems(settings, clock, stack, ledger=ledger, memory=memory, serving=serving)
        source = build_source(settings, clock, memory)
        reconciler = build_reconciler(settings, source, systems)
        yield Built(reconciler, systems, source, serving)


def build_redactor(settings: Settings) -> Redactor:
    """Build what hides every secret that the settings name, and those that are read later. Raises SettingsError."""
    return Redactor(all_secrets(settings), secrets_read)


def build_source(settings: Settings, clock: Clock, memory: Memory) -> Source:
    """Build the Git source."""
    from reconciler.source.git import GitSource  # noqa: PLC0415  pygit2

    return GitSource(settings.git, settings.state_dir, clock, memory)


def build_serving(settings: Settings, clock: Clock) -> KServe:
    """Build the connection to KServe; entered, it begins to watch."""
    from reconciler.systems.serving.connect import Connection  # noqa: PLC0415  kubernetes
    from reconciler.systems.serving.kserve import Options  # noqa: PLC0415  what watches
    from reconciler.systems.serving.reflector import Pace  # noqa: PLC0415  what watches

    kubernetes = settings.kubernetes
    pace = Pace(resync=kubernetes.resync_interval.total_seconds())
    options = Options(
        namespaces=kubernetes.namespaces,
        timeout=kubernetes.timeout,
        write_timeout=kubernetes.timeout,
        pace=pace,
        service_url=kubernetes.service_url,
    )
    return KServe(Connection(kubernetes), options, clock, random.Random())  # noqa: S311  jitter


def build_systems(
    settings: Settings, clock: Clock, stack: ExitStack, *, ledger: Ledger, memory: Memory, serving: KServe
) -> Systems:
    """Build the ports that actions use; `stack` closes what they hold open."""
    from reconciler.systems.probe import HttpProber  # noqa: PLC0415  httpx
    from reconciler.systems.registry.rest import MlflowRegistry  # noqa: PLC0415  httpx
    from reconciler.systems.serving.connect import Connection  # noqa: PLC0415  kubernetes
    from reconciler.systems.serving.jobs import KubernetesJobs  # noqa: PLC0415  only what reaches the cluster

    return Systems(
        registry=stack.enter_context(MlflowRegistry(settings.mlflow)),
        serving=serving,
        training=build_training(settings, clock),
        prober=stack.enter_context(HttpProber(PROBE_TIMEOUT, PROBE_DEADLINE)),
        metrics=build_metrics(settings, stack),
        jobs=KubernetesJobs(Connection(settings.kubernetes)),
        ledger=ledger,
        memory=memory,
        clock=clock,
        artifact_destinations=settings.mlflow.artifact_destinations,
        settle=max(settings.mlflow.timeout, settings.kubernetes.timeout),
    )


def build_metrics(settings: Settings, stack: ExitStack) -> PrometheusMetrics | None:
    """Build what answers queries; None where the settings name nobody."""
    if not settings.prometheus.url:
        return None
    from reconciler.systems.prometheus import Prometheus  # noqa: PLC0415  httpx, and only where it is set

    return stack.enter_context(Prometheus(settings.prometheus))


def build_training(settings: Settings, clock: Clock) -> Training:
    """Build the training backend that the settings choose."""
    training = settings.training
    tracking_uri = training.pipeline_tracking_uri or settings.mlflow.tracking_uri
    if training.backend == "kfp":
        return _kfp(training, tracking_uri, clock)
    from reconciler.systems.training.local import LocalTraining, child_environment  # noqa: PLC0415  only the backend that is set

    runs_dir = training.runs_dir or settings.state_dir / "runs"
    environment = child_environment(os.environ, tracking_uri)
    return LocalTraining(
        runs_dir, tracking_uri=tracking_uri, environment=environment, parallel=training.parallel, clock=clock
    )


def _kfp(training: TrainingSettings, tracking_uri: str, clock: Clock) -> Training:
    from reconciler.systems.training.kfp_api import KfpNames, KfpTraining  # noqa: PLC0415  only the backend that is set
    from reconciler.systems.training.kfp_client import KfpClient  # noqa: PLC0415  only the backend that is set

    if not training.host:
        raise SettingsError(
            "setting training.host is needed to train by the KFP API",
            help="set training.host to the URL of the KFP API, or training.backend to local",
        )

    def token() -> str | None:
        secret = training.token.read_token()
        return secret.get_secret_value() if secret else None

    client = KfpClient(training.host, token=token, timeout=training.timeout)
    names = KfpNames(training.host, training.prefix, training.experiment, training.namespace)
    settle = training.timeout * SETTLE_TIMEOUTS
    return KfpTraining(client, names, tracking_uri=tracking_uri, settle=settle, clock=clock)


def build_reconciler(settings: Settings, source: Source, systems: Systems) -> ModelReconciler:
    """Build the reconciler over its ports."""
    observer = Observer(systems, settings.mlflow.read_interval)
    observer.remember_in_flight()
    return ModelReconciler(source, systems, observer, settings.training.poll_interval)


def run_service(settings: Settings) -> int:
    """Run the service until it is told to stop; return the exit code. Raises SettingsError."""
    from reconciler.logs import set_up_logs  # noqa: PLC0415  structlog
    from reconciler.service import Surroundings, run  # noqa: PLC0415  FastAPI and uvicorn

    redactor = build_redactor(settings)
    set_up_logs(settings.log, redactor, sys.stderr)
    metrics = Metrics(__version__)
    with build(settings, redactor, utc_now, lambda entry: metrics.appended(entry.moment.value)) as built:
        chance = random.Random()  # noqa: S311  jitter
        surroundings = Surroundings(utc_now, chance.uniform, metrics, redactor, built.subscribe, built.serving.sick)
        return run(built.reconciler, settings, surroundings)
