"""The KFP API over HTTP: every call has a time-out, is sent once, and fails with an error of our own."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import kfp_server_api
import urllib3
from kfp_server_api.exceptions import ApiException

from reconciler.breakpoints import reached
from reconciler.errors import ReconcilerError, Refused, Transient, UnknownOutcome
from reconciler.redaction import first_words
from reconciler.systems import retrying
from reconciler.systems.bounded import BoundedPool
from reconciler.systems.deadline import ending
from reconciler.systems.retrying import Pauses

T = TypeVar("T")
PAGE = 200
# A server that never comes to an end is not believed.
MOST_PAGES = 1_000
# No server may keep us from looking for longer.
LONGEST_PAUSE = 600.0
_SECONDS = re.compile(r"[0-9]{1,9}")
_NEVER_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)

Token = Callable[[], str | None]
"""Returns the bearer token as it is now, None for none: tokens of service accounts are replaced on disk."""


class KfpClient:
    """Calls of the KFP API v2beta1 that training needs."""

    def __init__(self, host: str, *, token: Token, timeout: timedelta, pauses: Pauses = retrying.REAL) -> None:
        seconds = timeout.total_seconds()
        self._seconds = seconds
        self._pauses = pauses
        self._timeout = (seconds, seconds)
        configuration = kfp_server_api.Configuration(host=host.rstrip("/"))
        # The client's own retries would send a GET four times and hide how long it takes.
        configuration.retries = False
        client = _authorizing(token)(configuration)
        client.rest_client.pool_manager = BoundedPool(client.rest_client.pool_manager, seconds)
        self._runs = kfp_server_api.RunServiceApi(client)
        self._experiments = kfp_server_api.ExperimentServiceApi(client)
        self._pipelines = kfp_server_api.PipelineServiceApi(client)

    def runs(self, experiment_id: str, containing: str) -> list[Any]:
        """Return all runs of an experiment whose display name contains a text, oldest first."""
        where = _where("IS_SUBSTRING", containing)
        call = self._runs.run_service_list_runs
        query = {"experiment_id": experiment_id, "filter": where, "sort_by": "created_at asc"}
        return self._pages(call, "runs", query)

    def get_run(self, run_id: str) -> Any | None:
        """Return one run, None when the API says that there is none."""
        return self._read(
            f"reading run {run_id}",
            lambda: _or_none(lambda: self._runs.run_service_get_run(run_id=run_id, _request_timeout=self._timeout)),
        )

    def _read(self, doing: str, call: Callable[[], T]) -> T:
        """Read, and again within the time-out where that may help."""

        def once() -> T:
            with _calling(doing, Transient):
                return call()

        with ending(self._seconds):
            return retrying.read(once, self._pauses.clock() + self._seconds, self._pauses)

    def create_run(self, run: dict[str, Any]) -> Any:
        """Create a run. Raises UnknownOutcome when it may exist although no good answer came."""
        body = kfp_server_api.V2beta1Run(
            experiment_id=run["experiment_id"],
            display_name=run["display_name"],
            description=run["description"],
            pipeline_spec=run.get("pipeline_spec"),
            pipeline_version_reference=run.get("pipeline_version_reference"),
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=run["parameters"]),
        )
        with _calling(f"creating run {run['display_name']}", UnknownOutcome):
            made = self._runs.run_service_create_run(run=body, _request_timeout=self._timeout)
        reached("run created")
        if not made.run_id or made.display_name != run["display_name"]:
            raise UnknownOutcome(f"creating run {run['display_name']}: the answer shows no such run")
        return made

    def terminate_run(self, run_id: str) -> None:
        """Ask for the end of a run."""
        with _calling(f"terminating run {run_id}", UnknownOutcome):
            self._runs.run_service_terminate_run(run_id=run_id, _request_timeout=self._timeout)
        reached("run terminated")

    def experiments(self, name: str, namespace: str | None) -> list[Any]:
        """Return the experiments of that name."""
        query = {"filter": _where("EQUALS", name), **_within(namespace)}
        found = self._pages(self._experiments.experiment_service_list_experiments, "experiments", query)
        return [each for each in found if each.display_name == name]

    def get_experiment(self, experiment_id: str) -> Any | None:
        """Return one experiment, None when the API says that there is none."""
        call = self._experiments.experiment_service_get_experiment
        return self._read(
            f"reading experiment {experiment_id}",
            lambda: _or_none(lambda: call(experiment_id=experiment_id, _request_timeout=self._timeout)),
        )

    def create_experiment(self, name: str, namespace: str | None) -> str | None:
        """Create an experiment and return its id, None when one of that name exists: names are unique."""
        body = kfp_server_api.V2beta1Experiment(display_name=name, namespace=namespace)
        call = self._experiments.experiment_service_create_experiment
        # Sent twice it makes one: a lost answer is no more than a reason to look again.
        with _calling(f"creating experiment {name}", Transient):
            made = _unless(409, lambda: call(experiment=body, _request_timeout=self._timeout))
        reached("experiment created")
        return None if made is None else made.experiment_id

    def pipeline(self, name: str, namespace: str | None) -> Any | None:
        """Return the pipeline of that name, None when the API says that there is none."""
        call = self._pipelines.pipeline_service_get_pipeline_by_name
        within = _within(namespace)
        return self._read(
            f"reading pipeline {name}",
            lambda: _or_none(lambda: call(name=name, _request_timeout=self._timeout, **within)),
        )

    def pipeline_versions(self, pipeline_id: str, name: str) -> list[Any]:
        """Return the versions of that name."""
        query = {"pipeline_id": pipeline_id, "filter": _where("EQUALS", name)}
        found = self._pages(self._pipelines.pipeline_service_list_pipeline_versions, "pipeline_versions", query)
        return [each for each in found if name in (each.display_name, each.name)]

    def _pages(self, call: Callable[..., Any], field: str, query: dict[str, Any]) -> list[Any]:
        """Read every page. Raises Transient when fewer came than the first page counted."""
        found: list[Any] = []
        token, total = "", None
        for _ in range(MOST_PAGES):
            page, items = self._read(f"listing {field}", partial(self._page, call, field, token, query))
            found += items
            total = page.total_size if total is None else total
            token = page.next_page_token or ""
            if not token:
                break
        else:
            raise Transient(f"listing {field}: no end after {MOST_PAGES} pages")
        if len(found) < (total or 0):
            raise Transient(f"listing {field}: {len(found)} came of {total}; the list changed, or was cut")
        return found

    def _page(self, call: Callable[..., Any], field: str, token: str, query: dict[str, Any]) -> tuple[Any, list[Any]]:
        page = call(page_size=PAGE, page_token=token, _request_timeout=self._timeout, **query)
        return page, _whole(getattr(page, field) or [])


def _authorizing(token: Token) -> Any:
    class Client(kfp_server_api.ApiClient):  # type: ignore[misc]  # the library has no types
        """Asks for the token at every call: the library's own hook is not asked before a first key is set."""

        def update_params_for_auth(self, headers: dict[str, str], querys: object, auth_settings: object) -> None:
            del querys, auth_settings
            if key := token():
                headers["Authorization"] = f"Bearer {key}"

        def deserialize(self, response: Any, response_type: str) -> Any:
            try:
                made = super().deserialize(response, response_type)
            except _UNREADABLE as error:
                raise _GarbledError(f"{type(error).__name__}: {first_words(str(error), 200)}") from error
            if made is None:
                raise _GarbledError("it is null")
            return made

    return Client


class _GarbledError(Exception):
    """The answer has not the shape of KFP's; what was asked may have been done."""


# What the generated client comes to when a value is of another type than it expects.
_UNREADABLE = (ApiException, ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError)


def _whole(items: list[Any]) -> list[Any]:
    if any(item is None for item in items):
        raise _GarbledError("an item is null")
    return items


def _where(operation: str, name: str) -> str:
    return json.dumps({"predicates": [{"operation": operation, "key": "display_name", "stringValue": name}]})


def _within(namespace: str | None) -> dict[str, str]:
    return {} if namespace is None else {"namespace": namespace}


def _or_none(call: Callable[[], Any]) -> Any | None:
    return _unless(404, call)


def _unless(status: int, call: Callable[[], Any]) -> Any | None:
    try:
        return call()
    except ApiException as error:
        if error.status == status:
            return None
        raise


@contextlib.contextmanager
def _calling(doing: str, lost: type[ReconcilerError]) -> Iterator[None]:
    """Translate failures; `lost` is what it means when the request may have arrived."""
    try:
        yield
    except _NEVER_SENT as error:
        raise Transient(f"{doing}: the KFP API cannot be reached: {error}") from error
    except urllib3.exceptions.HTTPError as error:
        raise lost(f"{doing}: no whole answer from the KFP API: {error}") from error
    except (_GarbledError, UnicodeDecodeError) as error:
        raise lost(f"{doing}: the answer is not KFP's: {error}") from error
    except ApiException as error:
        raise _translated(doing, lost, error) from error
    except AttributeError as error:
        # The generated client decodes the body of a TLS failure, which has none.
        if isinstance(error.__context__, ApiException):
            raise Transient(f"{doing}: TLS to the KFP API failed: {error.__context__.reason}") from error
        raise


def _translated(  # noqa: PLR0911  one return a status reads as the table that it is
    doing: str, lost: type[ReconcilerError], error: ApiException
) -> ReconcilerError:
    said = f"{doing}: the KFP API says {error.status}: {_message(error)}"
    match error.status:
        case 429:
            return Transient(said, retry_after=_asked(error))
        case 401:
            return Transient(said, help="the token has expired, or training.token names the wrong one")
        case 403:
            return Refused(said, help="the reconciler's account needs runs, experiments and pipelines in KFP")
        case int(status) if status < 300:
            return lost(said)
        case int(status) if status < 400:
            return Transient(said, help="training.host leads to a login page; use the API's own address")
        case int(status) if status < 500 and status != 408:
            return Refused(said)
        case _:
            return lost(said)


def _asked(error: ApiException) -> float:
    """Return how long the server wants to be left alone."""
    found = _SECONDS.fullmatch(str((error.headers or {}).get("Retry-After", "")))
    return min(float(found[0]), LONGEST_PAUSE) if found else 10.0


def _message(error: ApiException) -> str:
    try:
        body = json.loads(error.body or "")
    except (ValueError, RecursionError):
        body = None
    text = body.get("message") or body.get("error") if isinstance(body, dict) else None
    return first_words(str(text or error.reason or "nothing"), 300)
