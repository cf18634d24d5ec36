"""ports.Registry on a real MLflow server. Absence is what the registry says by name, never what a list leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, assert_never

from reconciler.errors import Refused, Transient, UnknownOutcome
from reconciler.observed import ModelVersion, RegisteredModel, Signature, Stage, VersionEvidence
from reconciler.registry_roles import ALIASES, TAG_ARCHIVED
from reconciler.registry_writes import (
    DropAlias,
    MarkArchived,
    PointAlias,
    Transition,
    UnmarkArchived,
    Write,
    writes_for,
)
from reconciler.settings import MlflowSettings
from reconciler.systems.registry import mlmodel
from reconciler.systems.registry.answers import Absent
from reconciler.systems.registry.artifacts import read_file
from reconciler.systems.registry.decode import (
    Malformed,
    ModelRow,
    VersionRow,
    merge,
    metrics_of,
    models_of,
    next_page,
    versions_of,
)
from reconciler.systems.registry.transport import SOCKETS, Transport, Wire

MODELS_PAGE = 1_000
VERSIONS_PAGE = 200_000
# More pages than a million models have; a server that never comes to an end is not believed.
MAX_PAGES = 1_000
# Above it, reading everything again is cheaper than asking by name, and something larger is wrong.
MAX_TORN = 50

T = TypeVar("T")


class MlflowRegistry:
    """Reads and writes one MLflow registry; safe to use from several threads."""

    def __init__(self, settings: MlflowSettings, wire: Wire = SOCKETS) -> None:
        self._transport = Transport(settings, wire)
        self._writes = settings.writes
        self._known: dict[str, frozenset[int]] = {}
        self._gaps: dict[str, frozenset[int]] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @property
    def calls(self) -> int:
        """Return how many requests were sent."""
        return self._transport.calls

    def read_all(self) -> Mapping[str, RegisteredModel]:
        """Return every registered model with all versions, by two bulk reads.

        More is read only to settle a doubt: an empty answer is asked for twice, models of which the two answers
        disagree and those of which the model or a version was there before are asked for by name. Raises Transient
        when doubt remains.
        """
        models, torn = self._read_bulk()
        if len(torn) > MAX_TORN or not models:
            models, torn = self._read_bulk()
        if len(torn) > MAX_TORN:
            raise Transient(f"the registry's two lists disagree about {len(torn)} models, also when read again")
        lost = {name for name, numbers in self._known.items() if not numbers <= _numbers(models.get(name))}
        self._settle(models, torn | lost | (self._known.keys() - models.keys()))
        self._known = {name: _numbers(model) for name, model in models.items()}
        return models

    def read(self, name: str) -> RegisteredModel | None:
        """Return one model as it is now, None when the registry says that it does not exist.

        That a version is gone, whose number lies below that of another one, is believed when two answers say so.
        """
        gaps = self._gaps.get(name)
        for _ in range(3):
            row = self._model(name)
            if row is None:
                return None
            versions = self._versions({"filter": _filter(name), "max_results": VERSIONS_PAGE})
            # Some databases compare without regard to case.
            joined, torn = merge([row], [v for v in versions if v.name == name])
            if torn:
                continue
            missing, before = _missing(joined[name]), gaps
            gaps = missing
            if not missing or missing == before:
                self._gaps[name] = missing
                return joined[name]
        raise Transient(f"the registry's answers about {name} do not fit together")

    def evidence(self, name: str, version: ModelVersion) -> VersionEvidence:
        """Return metrics, artifact location and signature of a version."""
        location = self._location(name, version.version)
        return VersionEvidence(self._metrics(version.run_id), location, self._signature(location))

    def artifact(self, name: str, version: int, path: str) -> bytes | None:
        """Return one small file of the version's artifact (at most 4 MiB), None when there is no such file."""
        return read_file(self._transport, self._location(name, version), path)

    def input_rows(self, name: str, version: int) -> Sequence[Any] | None:
        """Return the rows of the version's input example, None when none was logged."""
        location = self._location(name, version)
        for path in mlmodel.example_paths(self._mlmodel(location)):
            rows = self._file(location, path, mlmodel.rows_of)
            if rows:
                return rows
        return None

    def set_stage(self, name: str, version: int, stage: Stage, still: Callable[[], None] = lambda: None) -> None:
        """Make the version's stage and alias so, as settings say; what is so already is not written."""
        model = self.read(name)
        if model is None or model.get(version) is None:
            raise Refused(f"version {version} of {name} is not in the registry any more")
        for write in writes_for(model, version, stage, self._writes):
            still()
            self._write(name, write)

    def tag(self, name: str, version: int, key: str, value: str | None) -> None:
        """Set a version's tag, or remove it when `value` is None."""
        self._tag("model-versions", {"name": name, "version": str(version)}, key, value)

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        """Set a registered model's tag, or remove it when `value` is None."""
        self._tag("registered-models", {"name": name}, key, value)

    def delete(self, name: str) -> None:
        """Delete a registered model with its versions. Absent already is success."""
        try:
            self._transport.write("DELETE", "registered-models/delete", {"name": name})
        except Absent:
            return

    def _read_bulk(self) -> tuple[dict[str, RegisteredModel], set[str]]:
        models = list(self._pages("registered-models/search", {"max_results": MODELS_PAGE}, models_of))
        return merge(models, self._versions({"max_results": VERSIONS_PAGE}))

    def _settle(self, models: dict[str, RegisteredModel], doubtful: Iterable[str]) -> None:
        found = 0
        for name in sorted(doubtful):
            model = self.read(name)
            if model is None:
                models.pop(name, None)
                continue
            models[name] = model
            found += 1
            if found > MAX_TORN:
                raise Transient("the registry's lists leave out models that it still has")

    def _model(self, name: str) -> ModelRow | None:
        try:
            answer = self._transport.get("registered-models/get", {"name": name})
        except Absent:
            return None
        wrapped = {"registered_models": [answer.get("registered_model")]}
        rows = _shaped(models_of, wrapped)
        if rows[0].name != name:
            raise Transient(f"asked for the model {name}, the registry answered {rows[0].name}")
        return rows[0]

    def _versions(self, params: Mapping[str, str | int]) -> list[VersionRow]:
        return list(self._pages("model-versions/search", params, versions_of))

    def _pages(
        self, path: str, params: Mapping[str, str | int], rows: Callable[[Mapping[str, Any]], list[T]]
    ) -> Iterator[T]:
        seen: set[str | None] = {None}
        answer = self._transport.get(path, params)
        for _ in range(MAX_PAGES):
            found, token = _shaped(rows, answer), _shaped(next_page, answer)
            if token in seen and token is not None:
                raise Transient(f"reading {path}: the registry answers the same page again")
            if not found and len(seen) > 1:
                raise Transient(f"reading {path}: the registry named a next page, and it is empty")
            yield from found
            if token is None:
                return
            seen.add(token)
            answer = self._transport.get(path, {**params, "page_token": token})
        raise Transient(f"reading {path}: no end after {MAX_PAGES} pages", help=_NOT_MLFLOW)

    def _location(self, name: str, version: int) -> str:
        params = {"name": name, "version": str(version)}
        uri = self._transport.get("model-versions/get-download-uri", params).get("artifact_uri")
        if not isinstance(uri, str) or not uri:
            raise Transient(f"the registry names no artifact location for version {version} of {name}")
        return uri

    def _metrics(self, run_id: str) -> Mapping[str, float]:
        if not run_id:
            return {}
        try:
            answer = self._transport.get("runs/get", {"run_id": run_id})
        except Absent:
            return {}
        return _shaped(metrics_of, answer)

    def _signature(self, location: str) -> Signature | None:
        """Return None where the artifact is out of reach for good; what may pass is raised: unknown is not absent."""
        try:
            return mlmodel.signature_of(self._mlmodel(location))
        except Refused:
            return None

    def _mlmodel(self, location: str) -> Mapping[str, Any]:
        return self._file(location, mlmodel.MLMODEL, mlmodel.parse) or {}

    def _file(self, location: str, path: str, decode: Callable[[bytes], T | None]) -> T | None:
        """Read a small file, once more where nothing comes out of it: it may have been a page of a proxy."""
        for _ in range(2):
            content = read_file(self._transport, location, path)
            if content is None:
                return None
            if value := decode(content):
                return value
        return None

    def _write(self, name: str, write: Write) -> None:
        match write:
            case Transition(version, stage):
                # MLflow answers 500 when asked to archive the others of Archived or None.
                body = {"name": name, "version": str(version), "stage": stage.value,
                        "archive_existing_versions": stage in ALIASES}  # fmt: skip
                _moved(self._transport.write("POST", "model-versions/transition-stage", body), name, write)
            case PointAlias(alias, version):
                body = {"name": name, "alias": alias, "version": str(version)}
                self._transport.write("POST", "registered-models/alias", body)
            case DropAlias(alias):
                self._transport.write("DELETE", "registered-models/alias", {"name": name, "alias": alias})
            case MarkArchived(version):
                self.tag(name, version, TAG_ARCHIVED, "true")
            case UnmarkArchived(version):
                self.tag(name, version, TAG_ARCHIVED, None)
            case _:
                assert_never(write)

    def _tag(self, kind: str, of: Mapping[str, str], key: str, value: str | None) -> None:
        if value is None:
            self._transport.write("DELETE", f"{kind}/delete-tag", {**of, "key": key})
        else:
            self._transport.write("POST", f"{kind}/set-tag", {**of, "key": key, "value": value})


def _shaped(decode: Callable[[Mapping[str, Any]], T], answer: Mapping[str, Any]) -> T:
    try:
        return decode(answer)
    except Malformed as error:
        raise Transient(f"the registry's answer is not MLflow's: {error}", help=_NOT_MLFLOW) from error


def _moved(answer: Mapping[str, Any], name: str, write: Transition) -> None:
    """Hold that MLflow answered a transition with the version as it is now: what stands before it may say 200 too."""
    version = answer.get("model_version")
    now = version.get("current_stage") if isinstance(version, dict) else None
    if now != write.stage.value:
        raise UnknownOutcome(
            f"moving version {write.version} of {name} to {write.stage}: the answer does not say that it was done",
            help=_NOT_MLFLOW,
        )


def _numbers(model: RegisteredModel | None) -> frozenset[int]:
    return frozenset(v.version for v in model.versions) if model else frozenset()


def _missing(model: RegisteredModel) -> frozenset[int]:
    """Return the numbers that lie below the last one and that no version has."""
    numbers = _numbers(model)
    last = max(numbers, default=0)
    return frozenset() if len(numbers) == last else frozenset(range(1, last)) - numbers


_NOT_MLFLOW = "check that mlflow.trackingUri is an MLflow 3 server and that nothing before it rewrites answers"


def _filter(name: str) -> str:
    if "'" not in name:
        return f"name = '{name}'"
    if '"' not in name:
        return f'name = "{name}"'
    raise Refused(f"the model name {name} has both kinds of quotes, which MLflow's filters cannot name")
