"""List a resource, in pages that all show the same moment."""

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.demo.kubeapi.cluster import Cluster
from reconciler.demo.kubeapi.errors import bad_request, expired, too_large_version
from reconciler.demo.kubeapi.requests import Target
from reconciler.demo.kubeapi.resources import ResourceType
from reconciler.demo.kubeapi.selectors import Predicate
from reconciler.demo.kubeapi.store import Record, encode

_KEPT_SNAPSHOTS = 32


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What to list; `limit` 0 means everything, `token` continues an earlier page."""

    matches: Predicate | None
    limit: int = 0
    token: str = ""
    resource_version: str = ""
    version_match: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list: its objects, the moment it shows, and where it goes on."""

    records: tuple[Record, ...]
    revision: int
    next_token: str
    remaining: int


@dataclass(frozen=True, slots=True)
class _Snapshot:
    records: tuple[Record, ...]
    revision: int


class Lister:
    """Answers lists; keeps the newest unfinished ones for their next pages."""

    def __init__(self, cluster: Cluster, new_id: Callable[[], str]) -> None:
        self._cluster = cluster
        self._new_id = new_id
        self._snapshots: OrderedDict[str, _Snapshot] = OrderedDict()

    def page(self, target: Target, query: ListQuery) -> Page:
        """Return a page; raise 410 when its continue token is no longer known."""
        if query.token:
            return self._next_page(query)
        snapshot = self._now(target, query)
        if not query.limit or len(snapshot.records) <= query.limit:
            return Page(snapshot.records, snapshot.revision, "", 0)
        identifier = self._new_id()
        self._snapshots[identifier] = snapshot
        if len(self._snapshots) > _KEPT_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return _cut(snapshot, identifier, 0, query.limit)

    def _now(self, target: Target, query: ListQuery) -> _Snapshot:
        with self._cluster.reading() as store:
            records, revision = store.records(target.resource.qualified, target.namespace), store.revision
        _check_version(query, revision)
        matches = query.matches
        kept = records if matches is None else [record for record in records if matches(record.value)]
        return _Snapshot(tuple(kept), revision)

    def _next_page(self, query: ListQuery) -> Page:
        try:
            identifier, offset = json.loads(base64.urlsafe_b64decode(query.token))
        except (ValueError, binascii.Error) as error:
            raise bad_request(f"continue key is not valid: {query.token!r}") from error
        snapshot = self._snapshots.get(identifier)
        if snapshot is None:
            raise expired("The provided continue parameter is too old to display a consistent list result.")
        return _cut(snapshot, identifier, offset, query.limit or len(snapshot.records))


def _cut(snapshot: _Snapshot, identifier: str, offset: int, limit: int) -> Page:
    end = offset + limit
    remaining = max(len(snapshot.records) - end, 0)
    token = base64.urlsafe_b64encode(json.dumps([identifier, end]).encode()).decode() if remaining else ""
    return Page(snapshot.records[offset:end], snapshot.revision, token, remaining)


def parse_version(text: str) -> int:
    """Read a resourceVersion; raise 400 when it is not a number."""
    if not text.isdigit():
        raise bad_request(f"invalid resource version {text!r}: expected a number that this server gave")
    return int(text)


def _check_version(query: ListQuery, current: int) -> None:
    if not query.resource_version:
        return
    asked = parse_version(query.resource_version)
    if asked > current:
        raise too_large_version(asked, current)
    if query.version_match == "Exact" and asked != current:
        raise expired(f"The resourceVersion for the provided list is too old: {asked}, current: {current}")


def list_body(resource: ResourceType, page: Page, selected: bool) -> bytes:  # a fact, not a switch
    """Write a page as the list object that is sent; a selected list does not count the rest."""
    meta: dict[str, str | int] = {"resourceVersion": str(page.revision)}
    if resource.custom:
        meta["continue"] = ""
    if page.next_token:
        meta["continue"] = page.next_token
        if not selected:
            meta["remainingItemCount"] = page.remaining
    head = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": meta}
    items = b",".join(record.body for record in page.records)
    return encode(head)[:-1] + b',"items":[' + items + b"]}"
