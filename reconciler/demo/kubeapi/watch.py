"""Stream a resource's changes as lines of JSON, until the client, the time or the server ends it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from reconciler.demo.kubeapi.cluster import Cluster
from reconciler.demo.kubeapi.errors import ApiError, expired
from reconciler.demo.kubeapi.objects import with_metadata
from reconciler.demo.kubeapi.resources import ResourceType
from reconciler.demo.kubeapi.selectors import Predicate
from reconciler.demo.kubeapi.store import Change, HistoryGone, Record, Store, encode


@dataclass(frozen=True, slots=True)
class WatchQuery:
    """What to watch; `since` None begins with what exists, `bookmark_every` None sends no bookmarks."""

    resource: ResourceType
    namespace: str
    matches: Predicate | None
    since: int | None
    timeout: float
    bookmark_every: float | None


class WatchStream:
    """One open watch, as an ASGI response."""

    def __init__(self, cluster: Cluster, query: WatchQuery, stopping: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._query = query
        self._stopping = stopping
        self._cursor = query.since
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the watch ends."""
        del scope
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # The head goes out at once: a client that waits for it must not wait for the first event.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        loop, wake = asyncio.get_running_loop(), asyncio.Event()

        def wake_up() -> None:
            loop.call_soon_threadsafe(wake.set)

        unsubscribe = self._cluster.store.subscribe(wake_up)
        listening = asyncio.create_task(self._until_disconnected(receive, wake))
        try:
            await self._run(send, wake)
        finally:
            unsubscribe()
            listening.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _until_disconnected(self, receive: Receive, wake: asyncio.Event) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        wake.set()

    async def _run(self, send: Send, wake: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + self._query.timeout
        every = self._query.bookmark_every
        bookmark_at = clock() + every if every else end
        while not (self._gone or self._stopping()):
            wake.clear()
            try:
                lines = b"".join(self.next_lines())
            except ApiError as error:
                await _write(send, _line("ERROR", encode(error.status())))
                return
            await _write(send, lines)
            await _wait(wake, min(end, bookmark_at) - clock())
            if clock() >= min(end, bookmark_at):
                await _write(send, self.bookmark() if every else b"")
                bookmark_at = clock() + every if every else end
            if clock() >= end:
                return

    def next_lines(self) -> list[bytes]:
        """Return what happened since the last time; raise 410 when some of it is no longer known."""
        with self._cluster.reading() as store:
            since, self._cursor = self._cursor, store.revision
            if since is None:
                return [_line("ADDED", record.body) for record in self._existing(store)]
            try:
                changes = store.changes_since(self._query.resource.qualified, since)
            except HistoryGone as error:
                raise expired(f"too old resource version: {since} ({error.oldest})") from error
            if since > store.revision:
                raise expired(f"resource version {since} is newer than this server's: {store.revision}")
        return [line for change in changes for line in self._seen(change)]

    def _existing(self, store: Store) -> list[Record]:
        records = store.records(self._query.resource.qualified, self._query.namespace)
        return [record for record in records if self._shows(record)]

    def _shows(self, record: Record | None) -> bool:
        return record is not None and (self._query.matches is None or self._query.matches(record.value))

    def _seen(self, change: Change) -> Iterator[bytes]:
        """Translate a change for a watcher that sees only matching objects."""
        if self._query.namespace not in ("", change.record.key.namespace):
            return
        before, after = self._shows(change.before), self._shows(change.record)
        if change.kind == "DELETED":
            if before:
                yield _line("DELETED", change.record.body)
        elif after:
            yield _line("MODIFIED" if before else "ADDED", change.record.body)
        elif before and change.before:
            last = with_metadata(change.before.value, resourceVersion=str(change.revision))
            yield _line("DELETED", encode(last))

    def bookmark(self) -> bytes:
        """Return the line that says how far the watch has come."""
        resource = self._query.resource
        # Everything up to the cursor has been sent.
        meta = {"resourceVersion": str(self._cursor), "creationTimestamp": None}
        return _line("BOOKMARK", encode({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}))


def _line(kind: str, body: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), body)


async def _write(send: Send, lines: bytes) -> None:
    if lines:
        await send({"type": "http.response.body", "body": lines, "more_body": True})


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(wake.wait(), max(seconds, 0))
    except TimeoutError:
        return
