"""Servers on real sockets that play a game with everybody who connects: silent ones, and ones that drip."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Play = Callable[[socket.socket, threading.Event], None]


@contextmanager
def playing(play: Play) -> Iterator[str]:
    """Serve one game to everybody who connects; yields host and port."""
    over = threading.Event()

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            play(connection, over)

    def accept(server: socket.socket) -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                connection = server.accept()[0]
                connection.settimeout(None)
                threads.append(threading.Thread(target=one, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        threads = [threading.Thread(target=accept, args=(server,))]
        threads[0].start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            for thread in threads:
                thread.join()


def drip(connection: socket.socket, over: threading.Event, begin: bytes, drop: bytes = b"x") -> None:
    """Send the beginning at once, and then a byte now and then, for ever."""
    connection.sendall(begin)
    while not over.wait(0.05):
        connection.sendall(drop)


def silent(connection: socket.socket, over: threading.Event) -> None:
    del connection
    over.wait()


def dripping_headers(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    drip(connection, over, b"HTTP/1.1 200 OK\r\nX-Slow: ")
