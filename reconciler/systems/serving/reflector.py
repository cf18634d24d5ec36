"""Keep a sink up to date by list and watch, in a thread of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from reconciler.errors import ReconcilerError, Transient
from reconciler.logs import get_logger
from reconciler.redaction import first_words
from reconciler.systems.serving.answers import Expired
from reconciler.systems.serving.api import Api, Call, Json, Key, Resource, Stream
from reconciler.systems.serving.discovery import is_served
from reconciler.systems.serving.feed import Sink
from reconciler.systems.serving.health import Feeds
from reconciler.systems.serving.listing import confirmed, list_all
from reconciler.systems.serving.reading import mapping, text
from reconciler.systems.serving.translate import key_of
from reconciler.systems.serving.versions import Versions

log = get_logger(__name__)
# Longer than any pause that a server may ask for, and the lists after it.
_HUNG_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, in seconds.

    A watch is asked to end after `watch_seconds` (and some jitter), and counts as broken when nothing came for
    `idle_seconds`; an API server sends a bookmark about once a minute. That a kind which was served is so no longer is
    believed when the cluster still says so `doubt` later.
    """

    resync: float = 600.0
    backoff_min: float = 0.2
    backoff_max: float = 30.0
    watch_seconds: float = 270.0
    idle_seconds: float = 100.0
    rediscover: float = 60.0
    doubt: float = 5.0


class Reflector:
    """Follows one resource in one namespace ("" for all) until stopped; `monotonic` returns seconds."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        namespace: str,
        *,
        sink: Sink[Any],
        feeds: Feeds,
        pace: Pace,
        monotonic: Callable[[], float],
        random: Random,
    ) -> None:
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self._sink = sink
        self._feeds = feeds
        self._pace = pace
        self._monotonic = monotonic
        self._random = random
        self.name = resource.qualified + (f" in {namespace}" if namespace else "")
        self._version = ""
        self._versions = Versions(feeds.patience.broken)
        self._glimpsed = frozenset[Key]()
        self._listed = 0.0
        self._failures = 0
        self._served = False
        self._unserved_since: float | None = None
        self._stopping = threading.Event()
        self._stream: Stream | None = None
        self._stepped = monotonic()
        self._thread = threading.Thread(target=self._run, name=f"watch {self.name}", daemon=True)
        feeds.expect(self.name)

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch; returns at once."""
        self._stopping.set()
        if stream := self._stream:
            stream.cut()

    def join(self) -> None:
        """Wait until the thread has ended: at most as long as a call may take."""
        if self._thread.is_alive():
            self._thread.join()

    def sick(self) -> str:
        """Return why the thread will not go on by itself, "" while it may."""
        if self._thread.ident is None or self._stopping.is_set():
            return ""
        if not self._thread.is_alive():
            return f"the watch of {self.name} has ended"
        late = self._monotonic() - self._stepped
        return f"the watch of {self.name} has hung for {late:.0f} s" if late > _HUNG_SECONDS else ""

    def _run(self) -> None:
        for pause in self.steps():
            self._stepped = self._monotonic()
            if pause > 0:
                self._stopping.wait(pause)

    def steps(self) -> Iterator[float]:
        """List and watch until stopped; yield how long to pause once a watch is open, after each event and attempt."""
        while not self._stopping.is_set():
            try:
                pause = yield from self._follow()
            except ReconcilerError as error:
                pause = self._failed(error, error.message)
            except Exception as error:
                # The edge of the thread: without this it would end unseen, and the cache be trusted for ever.
                log.exception("the watch failed", feed=self.name)
                pause = self._failed(Transient(str(error)), f"{type(error).__name__}: {error}")
            yield pause

    def _failed(self, error: ReconcilerError, why: str) -> float:
        """Record a failure and return how long to wait; a second one in a row, or a gap, means to list again."""
        self._failures += 1
        if self._stopping.is_set():
            return 0.0
        self._feeds.broken(self.name, why + (f" ({error.help})" if error.help else ""))
        if isinstance(error, Expired) or self._failures > 1:
            self._version = ""
        if isinstance(error, Expired) and self._failures == 1:
            return 0.0
        ceiling = min(self._pace.backoff_max, self._pace.backoff_min * 2.0 ** min(self._failures, 16))
        asked = error.retry_after if isinstance(error, Transient) else None
        return max(ceiling * self._random.uniform(0.5, 1.0), asked or 0.0)

    def _follow(self) -> Generator[float, None, float]:
        """List if need be, then watch until the watch ends; return how long to wait before the next time."""
        if self._resource.optional and not self._version and not is_served(self._api, self._resource):
            self._doubt()
            self._sink.not_served()
            self._feeds.not_served(self.name)
            return self._pace.rediscover
        if self._must_list():
            self._list()
        if (yield from self._watch()):
            return 0.0
        # Whatever it brought: a watch that ends at once, again and again, must not become a busy loop.
        raise Transient("the watch ended as soon as it began")

    def _must_list(self) -> bool:
        aged = self._monotonic() - self._listed > self._pace.resync
        return not self._version or aged or self._feeds.is_stale(self.name)

    def _doubt(self) -> None:
        """Raise Transient where what was served a while ago is gone for the first time."""
        now = self._monotonic()
        if self._unserved_since is None:
            self._unserved_since = now
        left = self._unserved_since + self._pace.doubt - now
        if self._served and left > 0:
            raise Transient(f"the cluster does not serve {self._resource.qualified} any more", retry_after=left)
        self._served = False

    def _list(self) -> None:
        # With nothing to hold a list against, as after a start, another list is: one alone may be cut short.
        held = self._sink.keys() or self._glanced()
        listing = confirmed(self._api, self._resource, self._namespace, held, self._sink.translate)
        self._versions.check(listing.version, self._monotonic())
        self._sink.replace(listing.found)
        self._version = listing.version
        self._glimpsed = frozenset()
        self._served, self._unserved_since = True, None
        self._listed = self._monotonic()
        self._feeds.live(self.name)

    def _glanced(self) -> frozenset[Key]:
        """List once; return what was listed since the start, of which nothing is held yet."""
        listing = list_all(self._api, self._resource, self._namespace, key_of)
        self._versions.saw(listing.version)
        self._glimpsed |= listing.keys
        return self._glimpsed

    def _watch(self) -> Generator[float, None, bool]:
        """Follow the stream until it ends; return whether it lasted, which makes up for earlier failures."""
        with self._api.open(self._watch_call(), self._pace.idle_seconds) as stream:
            self._stream = stream
            if self._stopping.is_set():
                return False
            self._feeds.live(self.name)
            began = self._monotonic()
            try:
                yield 0.0
                for line in stream.lines():
                    self._take(line)
                    yield 0.0
            finally:
                self._stream = None
                lasted = self._monotonic() - began > self._pace.backoff_min
                if lasted:
                    self._failures = 0
        return lasted

    def _watch_call(self) -> Call:
        left = max(1.0, self._pace.resync - (self._monotonic() - self._listed))
        seconds = min(self._pace.watch_seconds * self._random.uniform(0.9, 1.1), left)
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(max(1, int(seconds)))),
        ]
        if self._resource.selector:
            query.append(("labelSelector", self._resource.selector))
        return Call("watch", self._resource, self._namespace, query=tuple(query))

    def _take(self, line: bytes) -> None:
        kind, obj = _event(line)
        if kind == "ERROR":
            raise _stream_error(self.name, obj)
        version = text(mapping(obj, "metadata"), "resourceVersion")
        if obj.get("kind") != self._resource.kind or not version:
            said = f"a {kind[:40]} of {str(obj.get('kind'))[:40]!r}"
            raise Transient(f"the watch sent {said}, expected {self._resource.kind}")
        match kind:
            case "ADDED" | "MODIFIED":
                self._sink.put(obj)
            case "DELETED":
                self._sink.drop(obj)
            case "BOOKMARK":
                pass
            case _:
                raise Transient(f"the watch sent an event of unknown type {kind[:40]!r}")
        self._version = version
        self._versions.saw(version)
        self._feeds.live(self.name)


def _event(line: bytes) -> tuple[str, Json]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Transient(f"the watch sent a line that is no JSON: {_shown(line)!r}") from error
    obj = event.get("object") if isinstance(event, dict) else None
    if not isinstance(obj, dict):
        raise Transient(f"the watch sent a line without an object: {_shown(line)!r}")
    return text(event, "type"), obj


def _shown(line: bytes) -> str:
    return first_words(line.decode("utf-8", "replace"), 80)


def _stream_error(feed: str, status: Json) -> ReconcilerError:
    said = f"the watch of {feed} ended: {text(status, 'message') or text(status, 'reason')}"
    gone = status.get("code") == 410 or text(status, "reason") in ("Expired", "Gone")
    return Expired(said) if gone else Transient(said)
