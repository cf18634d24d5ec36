"""As much of the KFP API v2beta1 as training speaks, over HTTP, with the server's own habits.

Empty fields are left out of answers, so an empty list is `{}`; fields that are not known are refused; lists come in
pages and are filtered by display name, letters of either case being equal; run names need not be unique.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Item = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
RUN_FIELDS = {
    "experiment_id",
    "display_name",
    "description",
    "pipeline_spec",
    "pipeline_version_reference",
    "runtime_config",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came."""

    method: str
    path: str
    authorization: str | None
    query: dict[str, str] = field(default_factory=dict)
    body: Item = field(default_factory=dict)


class Failure(Exception):  # noqa: N818  an answer of the server, not an error of the tests
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Kfp:
    """The state of the server; `faults` are taken one by one, by the calls that they name ("POST /runs").

    `cut` ends lists after one page.
    """

    page: int = 2
    cut: bool = False
    experiments: list[Item] = field(default_factory=list)
    pipelines: list[Item] = field(default_factory=list)
    versions: list[Item] = field(default_factory=list)
    runs: list[Item] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stamp(self) -> str:
        """Return a time later than all before."""
        return (START + timedelta(seconds=len(self.runs))).isoformat().replace("+00:00", "Z")

    def add_run(self, name: str, state: str = "RUNNING") -> Item:
        """Put a run there, as somebody else would."""
        run = {
            "run_id": f"run-{len(self.runs) + 1}",
            "display_name": name,
            "experiment_id": "exp-1",
            "created_at": self.stamp(),
            "state": state,
        }
        self.runs.append(run)
        return run

    def take_fault(self, call: str) -> str | None:
        """Return the fault that waits for this call, once."""
        for at, (where, kind) in enumerate(self.faults):
            if where == call:
                del self.faults[at]
                return kind
        return None

    def answer(self, method: str, path: str, query: dict[str, str], body: Item) -> Item:  # noqa: PLR0911  a routing table
        """Change the state as asked, and answer."""
        match method, path.strip("/").split("/"):
            case "GET", ["experiments"]:
                return self.listed("experiments", self.experiments, query)
            case "POST", ["experiments"]:
                return self.create_experiment(body)
            case "GET", ["experiments", id_]:
                return _get(self.experiments, "experiment_id", id_)
            case "GET", ["pipelines", "names", name]:
                return _get(self.pipelines, "name", name)
            case "GET", ["pipelines", id_, "versions"]:
                mine = [each for each in self.versions if each["pipeline_id"] == id_]
                return self.listed("pipeline_versions", mine, query)
            case "GET", ["runs"]:
                mine = [each for each in self.runs if each["experiment_id"] == query["experiment_id"]]
                return self.listed("runs", sorted(mine, key=lambda run: run["created_at"]), query)
            case "POST", ["runs"]:
                return self.create_run(body)
            case "GET", ["runs", id_]:
                return _get(self.runs, "run_id", id_)
            case "POST", ["runs", action] if action.endswith(":terminate"):
                return self.terminate(action.removesuffix(":terminate"))
        raise Failure(404, f"no such path: {method} {path}")

    def listed(self, name: str, items: list[Item], query: dict[str, str]) -> Item:
        """Return one page of the items that pass the filter."""
        for predicate in json.loads(query.get("filter") or "{}").get("predicates", []):
            items = [each for each in items if _passes(each, predicate)]
        first = int(query.get("page_token") or 0)
        size = min(int(query["page_size"]), self.page)
        token = str(first + size) if first + size < len(items) and not self.cut else ""
        page = {name: items[first : first + size], "total_size": len(items), "next_page_token": token}
        return {key: value for key, value in page.items() if value}

    def create_experiment(self, body: Item) -> Item:
        """Create an experiment, unless its name is taken."""
        if any(each["display_name"] == body["display_name"] for each in self.experiments):
            raise Failure(409, "Already exist error: the name is taken")
        experiment = {"experiment_id": f"exp-{len(self.experiments) + 1}", **body}
        self.experiments.append(experiment)
        return experiment

    def create_run(self, body: Item) -> Item:
        """Create a run; the arguments must fit the pipeline."""
        if unknown := set(body) - RUN_FIELDS:
            raise Failure(400, f"unknown field {sorted(unknown)}")
        if ("pipeline_spec" in body) == ("pipeline_version_reference" in body):
            raise Failure(400, "a run needs either a spec or a version")
        spec = body.get("pipeline_spec") or self.spec_of(body["pipeline_version_reference"])
        declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        for name, value in body["runtime_config"].get("parameters", {}).items():
            if name not in declared:
                raise Failure(400, f"input parameter {name} is not in the spec")
            if declared[name]["parameterType"] == "NUMBER_INTEGER" and not isinstance(value, int):
                raise Failure(400, f"input parameter {name} is no integer")
        run = self.add_run(body["display_name"], "PENDING")
        run.update(body)
        return run

    def spec_of(self, reference: Item) -> Item:
        """Return the spec that a reference means."""
        spec: Item = _get(self.versions, "pipeline_version_id", reference["pipeline_version_id"])["pipeline_spec"]
        return spec

    def terminate(self, id_: str) -> Item:
        """End a run."""
        run = _get(self.runs, "run_id", id_)
        if run["state"] in ("SUCCEEDED", "FAILED", "CANCELED"):
            raise Failure(400, f"run {id_} has ended")
        run["state"] = "CANCELED"
        return {}


def _get(items: list[Item], key: str, value: str) -> Item:
    for each in items:
        if each[key] == value:
            return each
    raise Failure(404, f"{key} {value} not found")


def _passes(item: Item, predicate: Item) -> bool:
    has, wanted = str(item[predicate["key"]]).lower(), str(predicate["stringValue"]).lower()
    return wanted in has if predicate["operation"] == "IS_SUBSTRING" else has == wanted


@contextmanager
def serve(kfp: Kfp) -> Iterator[str]:
    """Serve the state on loopback; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"kfp": kfp}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        kfp.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the state."""

    protocol_version = "HTTP/1.1"
    kfp: Kfp

    def do_GET(self) -> None:
        self.handle_call()

    def do_POST(self) -> None:
        self.handle_call()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_call(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path.removeprefix("/apis/v2beta1"))
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.kfp.lock:
            sent = json.loads(raw or b"{}")
            self.kfp.calls.append(Call(self.command, path, self.headers.get("Authorization"), query, sent))
            fault = self.kfp.take_fault(f"{self.command} {path}")
            status, answer = 200, {}
            if fault is None or fault.startswith("applied"):
                try:
                    answer = self.kfp.answer(self.command, path, query, sent)
                except Failure as failure:
                    status, answer = failure.status, {"code": 3, "message": str(failure)}
        if fault:
            self.fail(fault)
        else:
            self.send(status, json.dumps(answer).encode())

    def fail(self, fault: str) -> None:
        match fault:
            case "{}":
                self.send(200, b"{}")
            case "login page":
                self.send(200, b"<html>Please log in</html>", "text/html")
            case "applied, then 502":
                self.send(502, b"<html>Bad gateway</html>", "text/html")
            case "hangs" | "applied, then hangs":
                self.kfp.released.wait(30)
                self.close_connection = True
            case "applied, then cut":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            case status:
                self.send(int(status), json.dumps({"message": f"fault {status}"}).encode())

    def send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
