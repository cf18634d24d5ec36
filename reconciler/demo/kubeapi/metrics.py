"""What was asked of the API: counted by verb and resource, in the words of a real API server's `/metrics`."""

from __future__ import annotations

import threading
from collections import Counter

from starlette.requests import Request

from reconciler.demo.kubeapi.parameters import flag
from reconciler.demo.kubeapi.requests import Target

METRIC = "apiserver_request_total"
_OF_COLLECTIONS = {"GET": "LIST", "DELETE": "DELETECOLLECTION"}


class Requests:
    """Counts requests for objects as they arrive: a watch when it begins, where a real server counts its end."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def arrived(self, request: Request, target: Target) -> None:
        """Count one request."""
        with self._lock:
            self._counts[_verb(request, target), target.resource.group, target.resource.plural] += 1

    def exposition(self) -> bytes:
        """Write the counts in Prometheus' text format."""
        with self._lock:
            counts = sorted(self._counts.items())
        lines = [
            f'{METRIC}{{verb="{verb}",group="{group}",resource="{resource}"}} {count}'
            for (verb, group, resource), count in counts
        ]
        return "\n".join([f"# TYPE {METRIC} counter", *lines, ""]).encode()


def _verb(request: Request, target: Target) -> str:
    if request.method == "GET" and flag(request, "watch"):
        return "WATCH"
    return request.method if target.name else _OF_COLLECTIONS.get(request.method, request.method)
