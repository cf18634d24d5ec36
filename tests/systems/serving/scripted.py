"""A server that says over HTTP exactly what a test tells it to, as a proxy or a broken API server might."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: a body, or lines of a watch; `hold` keeps the stream open after them."""

    body: object = None
    code: int = 200
    lines: tuple[object, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    hold: bool = False


@dataclass(slots=True)
class Script:
    """Answers by verb (groups, list, watch, the HTTP method): each is given once, the last one for ever.

    Those of revisions are `list revisions` and `watch revisions`.
    """

    answers: dict[str, deque[Reply]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    seen_headers: list[dict[str, str]] = field(default_factory=list)

    def on(self, verb: str, *replies: Reply) -> None:
        with self.lock:
            self.answers[verb] = deque(replies)

    def next(self, verb: str, path: str) -> Reply:
        with self.lock:
            self.asked.append((verb, path))
            left = self.answers.get(verb) or deque([KSERVE_ALONE if verb == "groups" else NOTHING])
            return left.popleft() if len(left) > 1 else left[0]

    def count(self, verb: str) -> int:
        with self.lock:
            return sum(1 for asked, _ in self.asked if asked == verb)


def status(code: int, reason: str, **more: Any) -> Json:
    """Return a Status as an API server sends it."""
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, **more}


def groups(*served: str) -> Reply:
    """Return the list of the groups that are served, each as `group/version`."""
    listed = [{"name": one.partition("/")[0], "versions": [{"groupVersion": one}]} for one in served]
    return Reply({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})


NOTHING = Reply(status(404, "NotFound"), 404)
KSERVE_ALONE = groups("serving.kserve.io/v1beta1")


def service(name: str, version: str, namespace: str = "models") -> Json:
    """Return a small InferenceService."""
    meta = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "resourceVersion": version, "generation": 1}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": meta,
        "spec": {"predictor": {"model": {"modelFormat": {"name": "mlflow"}}}},
    }


def listing(version: str, *objects: Json) -> Reply:
    """Return a list of InferenceServices."""
    return Reply({"kind": "InferenceServiceList", "metadata": {"resourceVersion": version}, "items": list(objects)})


def event(kind: str, obj: Json) -> Json:
    """Return one line of a watch."""
    return {"type": kind, "object": obj}


def bookmark(version: str) -> Json:
    """Return a bookmark."""
    return event("BOOKMARK", {"kind": "InferenceService", "metadata": {"resourceVersion": version}})


def quiet() -> Reply:
    """Return a watch that stays open and says nothing."""
    return Reply(hold=True)


@contextmanager
def scripted(path: Path) -> Iterator[Script]:
    """Serve a script on 127.0.0.1 and write a kubeconfig for it."""
    script = Script()
    server = _Server(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    write_kubeconfig(path, f"http://127.0.0.1:{server.server_address[1]}", "first-token")
    try:
        yield script
    finally:
        script.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def write_kubeconfig(path: Path, server: str, token: str) -> None:
    """Write a kubeconfig."""
    named: Callable[[str, Json], Json] = lambda key, value: {"name": "scripted", key: value}  # noqa: E731  one line
    config = {
        "current-context": "scripted",
        "clusters": [named("cluster", {"server": server})],
        "users": [named("user", {"token": token})],
        "contexts": [named("context", {"cluster": "scripted", "user": "scripted"})],
    }
    path.write_text(json.dumps(config), encoding="utf-8")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _script(self) -> Script:
        assert isinstance(self.server, _Server)
        return self.server.script

    def log_message(self, *_: object) -> None:
        return

    def _answer(self) -> None:
        url = urlsplit(self.path)
        if length := int(self.headers.get("content-length") or 0):
            self.rfile.read(length)
        self._script.seen_headers.append({name.lower(): value for name, value in self.headers.items()})
        self._send(self._script.next(self._verb(url.path, parse_qs(url.query)), self.path))

    def _verb(self, path: str, query: dict[str, list[str]]) -> str:
        if self.command != "GET":
            return self.command
        if path == "/apis":
            return "groups"
        of = {"inferenceservices": "", "revisions": " revisions"}.get(path.rpartition("/")[2])
        if of is None:
            return "GET"
        return ("watch" if query.get("watch") else "list") + of

    def _send(self, reply: Reply) -> None:
        if reply.hold or reply.lines:
            self._stream(reply)
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.code)
        for name, value in (("Content-Type", "application/json"), *reply.headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in reply.lines:
            data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if reply.hold:
            self._script.ended.wait(60)
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815  the names that http.server calls
