"""Kubernetes in this process: the embedded API's own code, asked without a network, a thread or a real clock."""

from __future__ import annotations

import itertools
import json
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Scope

from reconciler.demo.kserve.webhook import register
from reconciler.demo.kubeapi.cluster import Cluster
from reconciler.demo.kubeapi.http import HttpOptions, KubeHttp
from reconciler.demo.kubeapi.journal import MemoryJournal
from reconciler.demo.kubeapi.listing import Lister
from reconciler.demo.kubeapi.store import Change, HistoryGone, Key
from reconciler.demo.kubeapi.watch import WatchStream
from reconciler.ports import Clock
from reconciler.systems.serving.api import JSON

T = TypeVar("T")
Json = dict[str, Any]
Query = Sequence[tuple[str, str]]
MERGE = "application/merge-patch+json"
NAMESPACES = ("models", "other")
_HISTORY = 5_000
_BOOKMARK_SECONDS = 60.0


class RefusalError(Exception):
    """The API said no; `body` is the Status that it sent."""

    def __init__(self, code: int, body: Any) -> None:
        super().__init__(f"{code}: {body}")
        self.code = code
        self.body = body


class Kubernetes:
    """One cluster with KServe's webhook. Its state is the truth; `store` tells of every change."""

    def __init__(self, clock: Clock) -> None:
        numbers = itertools.count(1)

        def new_id() -> str:
            return f"{next(numbers):08x}-0000-4000-8000-000000000000"

        self.cluster = Cluster(MemoryJournal(), clock, new_id, _HISTORY)
        self.store = self.cluster.store
        self._http = KubeHttp(self.cluster, Lister(self.cluster, new_id), HttpOptions(None, _BOOKMARK_SECONDS))
        register(self.cluster.admission)
        for name in NAMESPACES:
            self.ask("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})

    def ask(self, method: str, path: str, query: Query = (), body: Any = None, media_type: str = JSON) -> Any:
        """Send one request and return the JSON answer; raises RefusalError."""
        answer = self._answer(method, path, query, body, media_type)
        assert isinstance(answer, Response)
        found = json.loads(bytes(answer.body))
        if answer.status_code >= 400:
            # The server's own flaws are no fault of the catalogue.
            assert answer.status_code != 500, found
            raise RefusalError(answer.status_code, found)
        return found

    def watch(self, path: str, query: Query) -> WatchStream:
        """Open a watch; raises RefusalError."""
        answer = self._answer("GET", path, query, None, JSON)
        assert isinstance(answer, WatchStream), bytes(answer.body)
        return answer

    def _answer(self, method: str, path: str, query: Query, body: Any, media_type: str) -> Response | WatchStream:
        sent = b"" if body is None else json.dumps(body).encode()
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": urlencode(query).encode(),
            "headers": [(b"content-type", media_type.encode())],
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": sent, "more_body": False}

        return _finished(self._http.answer(Request(scope, receive)))

    def before(self, resource: str, steps: int) -> tuple[int, list[Json]]:
        """Return a resource's objects as they were so many changes ago, and the revision of that moment."""
        changes = self._known(resource)[-steps:]
        records = {record.key: record for record in self.store.records(resource)}
        for change in reversed(changes):
            _undo(records, change)
        revision = changes[0].revision - 1 if changes else self.store.revision
        return revision, [records[key].value for key in sorted(records)]

    def _known(self, resource: str) -> list[Change]:
        try:
            return self.store.changes_since(resource, 0)
        except HistoryGone as gone:
            return self.store.changes_since(resource, gone.oldest)


def _undo(records: dict[Key, Any], change: Change) -> None:
    if change.before is None:
        records.pop(change.record.key, None)
    else:
        records[change.record.key] = change.before


def _finished(answer: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing to its end."""
    try:
        answer.send(None)
    except StopIteration as ended:
        found: T = ended.value
        return found
    raise AssertionError("the server waits for something")


def metadata(obj: Mapping[str, Any]) -> Json:
    """Return an object's metadata."""
    found: Json = obj["metadata"]
    return found
