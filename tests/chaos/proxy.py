"""A TCP proxy on loopback that behaves as badly as a test says, and changes while connections are open."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Pass:
    """Everything goes through."""


@dataclass(frozen=True, slots=True)
class Down:
    """Open connections are reset and new ones refused, as when the machine is gone."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Connections are accepted and stay open; nothing goes through in either direction."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """Requests go through, and no answer ever comes back: what was asked is done."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Requests go through; the connection is reset after this many bytes of answer."""

    after: int


@dataclass(frozen=True, slots=True)
class Delay:
    """Every piece of an answer comes this much later."""

    seconds: float


Mood = Pass | Down | Hang | Deaf | Cut | Delay
_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Pair:
    """The two ends of one connection."""

    client: socket.socket
    server: socket.socket
    answered: int = 0
    closing: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """End both at once, the client's by a reset: half a close would look like a whole answer."""
        with self.closing, contextlib.suppress(OSError):
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            for end in (self.client, self.server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.client.close()
        self.server.close()


Gate = Callable[[_Pair, bytes], tuple[bytes, bool]]
"""Returns what may go on, and whether that was all."""


class Proxy:
    """Stands between the reconciler and one system. `become` holds for open connections and new ones."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._changed = threading.Condition()
        self._mood: Mood = Pass()
        self._pairs: set[_Pair] = set()
        self._closed = False
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"{parts.scheme}://127.0.0.1:{self.port}{parts.path}"
        self.accepted = 0
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def become(self, mood: Mood) -> None:
        """Change the mood. Going down resets what is open; coming up listens on the same port again."""
        with self._changed:
            self._mood = mood
            if isinstance(mood, Down):
                self._stop_listening()
                self._reset_all()
            elif self._listener is None and not self._closed:
                self._listener = socket.create_server(("127.0.0.1", self.port))
                threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
            if isinstance(mood, Cut):
                for pair in self._pairs:
                    pair.answered = 0
            self._changed.notify_all()

    @contextmanager
    def being(self, mood: Mood) -> Iterator[None]:
        """Keep a mood for a block, then pass again."""
        self.become(mood)
        try:
            yield
        finally:
            self.become(Pass())

    def close(self) -> None:
        """End everything."""
        with self._changed:
            self._closed = True
            self._stop_listening()
            self._reset_all()
            self._changed.notify_all()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            # A thread in accept() would keep the socket alive: shutdown wakes it.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _reset_all(self) -> None:
        for pair in self._pairs:
            pair.reset()
        self._pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(client, server)
        with self._changed:
            if self._closed or isinstance(self._mood, Down):
                pair.reset()
                return
            self._pairs.add(pair)
        threading.Thread(target=self._pump, args=(pair, client, server, self._may_ask), daemon=True).start()
        self._pump(pair, server, client, self._may_answer)

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket, may: Gate) -> None:
        try:
            while data := source.recv(_CHUNK):
                data, whole = may(pair, data)
                sink.sendall(data)
                if not whole:
                    break
        except OSError:
            pass
        with self._changed:
            self._pairs.discard(pair)
        pair.reset()

    def _may_ask(self, pair: _Pair, data: bytes) -> tuple[bytes, bool]:
        with self._changed:
            self._changed.wait_for(lambda: self._let_go(pair) or not isinstance(self._mood, Hang))
        return data, True

    def _may_answer(self, pair: _Pair, data: bytes) -> tuple[bytes, bool]:
        with self._changed:
            self._changed.wait_for(lambda: self._let_go(pair) or not isinstance(self._mood, Hang | Deaf))
            mood = self._mood
        if isinstance(mood, Delay):
            time.sleep(mood.seconds)
        if isinstance(mood, Cut):
            room = max(0, mood.after - pair.answered)
            pair.answered += len(data)
            return data[:room], len(data) <= room
        return data, True

    def _let_go(self, pair: _Pair) -> bool:
        return self._closed or pair not in self._pairs


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """Put a proxy before an address until the block ends."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
