"""The callers of the demo: a constant rate whatever the answers, everything counted from the first prediction on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reconciler.demo.kserve.router import REVISION_HEADER
from reconciler.demo.load import NO_ANSWER, Caller, Seen, load

Answer = Callable[[int], tuple[int, float]]
"""From the number of a request to status and predicted value."""
CALLER = Caller("iris", [[1.0]], [0.0], per_second=50, tolerance=0.0)
PATIENCE = 20.0


class Served(ThreadingHTTPServer):
    """Answers as it is told; `arrivals` are the times of the requests."""

    daemon_threads = False  # closing it waits for them, and so for the callers to hang up
    request_queue_size = 128

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.arrivals: list[float] = []
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: callers go away when the load ends."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Served)
        self.rfile.read(int(self.headers["content-length"]))
        with server.lock:
            number = len(server.arrivals)
            server.arrivals.append(time.monotonic())
        status, value = server.answer(number)
        if status == 0:
            self.close_connection = True
            return
        body = json.dumps({"outputs": [{"name": "y", "shape": [1], "datatype": "FP64", "data": [value]}]}).encode()
        self.send_response(status)
        self.send_header(REVISION_HEADER, "iris-00001" if value == 0 else "iris-00002")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's signature
        """Stay silent."""


@contextmanager
def served(answer: Answer) -> Iterator[Served]:
    with Served(answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def called(server: Served, until: Callable[[Seen], bool]) -> Seen:
    with load(f"http://127.0.0.1:{server.server_port}", [CALLER]) as every:
        seen = every["iris"]
        ends = time.monotonic() + PATIENCE
        while not until(seen):
            assert time.monotonic() < ends, seen
            time.sleep(0.02)
    return seen


def test_a_slow_service_gets_no_fewer_requests() -> None:
    free = threading.Event()

    def slow(number: int) -> tuple[int, float]:
        if number:
            free.wait(PATIENCE)
        return 200, 0.0

    def enough(_: Seen) -> bool:
        if len(server.arrivals) > 100:
            free.set()
        return free.is_set()

    with served(slow) as server:
        called(server, enough)
    spent = server.arrivals[100] - server.arrivals[1]
    assert 99 / spent > 0.5 * CALLER.per_second, "a closed loop would have waited for the first answer"
    assert 99 / spent < 1.2 * CALLER.per_second, "no faster than it was asked to"


def test_answers_are_counted_by_status_and_revision() -> None:
    answers = [(200, 0.0), (503, 0.0), (200, 1.0), (0, 0.0)]
    with served(lambda number: answers[number % 4]) as server:
        seen = called(server, lambda seen: seen.sent >= 40)
    assert set(seen.by_status) == {"200", "503", NO_ANSWER}
    assert seen.failed == seen.by_status["503"] + seen.by_status[NO_ANSWER]
    assert seen.failed > 0
    assert seen.unexpected == seen.by_revision["iris-00002"] == seen.unexpected_by_revision["iris-00002"] > 0
    assert seen.unexpected_by_revision["iris-00001"] == 0
    assert seen.bad == seen.failed + seen.unexpected
    assert seen.sent == sum(seen.by_status.values())


def test_what_fails_before_the_first_prediction_does_not_count() -> None:
    with served(lambda number: (200 if number >= 5 else 404, 0.0)) as server:
        seen = called(server, lambda seen: seen.sent >= 10)
    assert set(seen.by_status) == {"200"}
