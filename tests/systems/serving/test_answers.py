"""What refusals of the API become, over HTTP."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import Conflict, ReconcilerError, Refused, SettingsError, Terminal, Transient, UnknownOutcome
from reconciler.scheduler.backoff import Backoff
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.answers import (
    Expired,
    FieldsHeld,
    NoSuchField,
    NotFound,
    NotServed,
    Unauthenticated,
    refusal,
)
from reconciler.systems.serving.api import APPLY, INFERENCE_SERVICES, Call
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.pods import PODS
from tests.hanging import playing
from tests.systems.serving.scripted import (
    Json,
    Reply,
    Script,
    bookmark,
    quiet,
    scripted,
    service,
    status,
    write_kubeconfig,
)

READ = Call("get", INFERENCE_SERVICES, "models", "iris")
CREATE = Call("create", INFERENCE_SERVICES, "models", "iris", body={"a": 1})
PATCH = Call("patch", INFERENCE_SERVICES, "models", "iris", body={"a": 1}, media_type=APPLY)
DRY_RUN = Call("patch", INFERENCE_SERVICES, "models", "iris", (("dryRun", "All"),), {"a": 1}, APPLY)


@dataclass(frozen=True, slots=True)
class Server:
    """A scripted server and a connection to it."""

    script: Script
    kubeconfig: Path
    settings: KubernetesSettings
    connection: Connection


def patiently(settings: KubernetesSettings) -> Connection:
    """Connect; on a busy machine reading the credentials alone may take longer than a call may take here."""
    for _ in range(20):
        with suppress(Transient):
            return Connection(settings)
    return Connection(settings)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    path = tmp_path / "kubeconfig"
    with scripted(path) as script:
        settings = KubernetesSettings.model_validate({"kubeconfig": path, "timeout": "500ms"})
        connection = patiently(settings)
        yield Server(script, path, settings, connection)
        connection.close()


def taken(*fields: str) -> Json:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "kubectl-edit" using v1beta1: {f}', "field": f}
        for f in fields
    ]
    return status(409, "Conflict", message="Apply failed", details={"causes": causes})


GROUP_SAID = 'User "ci" cannot patch resource "inferenceservices" in API group "serving.kserve.io"'
NAMESPACE = {"name": "models", "kind": "namespaces"}
OBJECT = {"name": "iris", "kind": "inferenceservices"}
UID = {"causes": [{"reason": "FieldValueInvalid", "field": "metadata.uid", "message": "field is immutable"}]}

UNTYPED = "failed to create typed patch object (models/iris; serving.kserve.io/v1beta1, Kind=InferenceService)"

Refusal = tuple[Call, int, Json | bytes, type[ReconcilerError], str]
REFUSALS: dict[str, Refusal] = {
    "credentials": (READ, 401, status(401, "Unauthorized"), Unauthenticated, "does not know us"),
    "a missing right": (PATCH, 403, status(403, "Forbidden", message=GROUP_SAID), Terminal, "not allowed to patch"),
    "a webhook's denial": (
        PATCH,
        403,
        status(403, "Forbidden", message='admission webhook "policy" denied the request: no GPUs on Fridays'),
        Refused,
        "no GPUs on Fridays",
    ),
    "a quota": (CREATE, 403, status(403, "Forbidden", message="exceeded quota: small"), Refused, "exceeded quota"),
    "a namespace on its way out": (
        CREATE,
        403,
        status(403, "Forbidden", message="unable to create new content because it is being terminated"),
        Refused,
        "namespace models is being deleted",
    ),
    "no namespace": (
        CREATE,
        404,
        status(404, "NotFound", message='namespaces "models" not found', details=NAMESPACE),
        Refused,
        "namespace models does not exist",
    ),
    "no object": (READ, 404, status(404, "NotFound", details=OBJECT), NotFound, "iris does not exist"),
    "no KServe": (CREATE, 404, status(404, "NotFound", message="no such resource"), NotServed, "does not serve"),
    "no KServe, in the words of a real server": (READ, 404, b"404 page not found\n", Transient, "without a Status"),
    "a page of a proxy": (READ, 404, b"<html>not found</html>", Transient, "without a Status"),
    "a write to a proxy": (PATCH, 404, b"<html>not found</html>", UnknownOutcome, "may or may not"),
    "a field of somebody else": (
        PATCH,
        409,
        taken(".spec.predictor.minReplicas"),
        FieldsHeld,
        '"model-reconciler" does not overwrite fields .* held by "kubectl-edit": .spec.predictor.minReplicas',
    ),
    "another version": (PATCH, 409, status(409, "Conflict", message="modified"), Conflict, "changed since it was read"),
    "another object": (PATCH, 422, status(422, "Invalid", details=UID), Conflict, "deleted and made anew"),
    "an invalid object": (PATCH, 422, status(422, "Invalid", message="spec.x: unknown"), Refused, "spec.x: unknown"),
    "a bad request": (PATCH, 400, status(400, "BadRequest", message="strict decoding error"), Refused, "strict"),
    "an old continuation": (READ, 410, status(410, "Expired"), Expired, "iris"),
    "too many requests": (PATCH, 429, status(429, "TooManyRequests"), Transient, "asks to wait"),
    "an unavailable server": (READ, 503, status(503, "ServiceUnavailable"), Transient, "is not available"),
    "a write that a proxy lost": (PATCH, 503, status(503, "ServiceUnavailable"), UnknownOutcome, "may or may not"),
    "a failed read": (READ, 500, status(500, "InternalError", message="etcd"), Transient, "cannot get .* etcd"),
    "a failed dry run": (DRY_RUN, 500, status(500, "InternalError"), Transient, "cannot patch"),
    "an apply of a field that the definition does not have": (
        PATCH,
        500,
        status(500, "", message=f"{UNTYPED}: .spec.canary: field not declared in schema"),
        NoSuchField,
        "definition of inferenceservices.serving.kserve.io has no spec.canary",
    ),
    "an apply that fails in another way": (
        PATCH,
        500,
        status(500, "", message=f"{UNTYPED}: errors"),
        UnknownOutcome,
        "may or may not",
    ),
    "a failed write": (PATCH, 500, status(500, "InternalError"), UnknownOutcome, "may or may not have been applied"),
    "a write that ran out of time": (CREATE, 504, status(504, "Timeout"), UnknownOutcome, "may or may not"),
    "a redirect": (PATCH, 302, {}, Refused, "HTTP 302"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(server: Server, refusal: Refusal) -> None:
    call, code, body, error, said = refusal
    for verb in ("GET", "POST", "PATCH"):
        server.script.on(verb, Reply(body, code))

    with pytest.raises(error, match=said) as caught:
        server.connection.call(call)

    assert type(caught.value) is error or error is Terminal
    # Nothing is sent twice behind our back.
    assert len(server.script.asked) == 1


def test_a_long_refusal_is_cut_where_no_half_of_a_secret_is_left(server: Server) -> None:
    said = f"admission webhook denied the request: {'x ' * 472}https://svc:Sup3rS3cretPw@policy:9000/check"
    assert said.index("Sup3r") < 1_000 < said.index("Pw@")
    server.script.on("PATCH", Reply(status(403, "Forbidden", message=said), 403))

    with pytest.raises(Refused, match="admission webhook denied the request: x x") as caught:
        server.connection.call(PATCH)

    assert "Sup3r" not in caught.value.message


def test_the_missing_verb_is_in_the_help(server: Server) -> None:
    server.script.on("PATCH", Reply(status(403, "Forbidden", message=GROUP_SAID), 403))

    with pytest.raises(Terminal) as caught:
        server.connection.call(PATCH)

    assert caught.value.help == (
        'grant the verb "patch" on inferenceservices in API group serving.kserve.io in namespace models'
    )


def test_a_missing_right_in_the_core_group_names_it_as_a_role_does(server: Server) -> None:
    said = 'User "ci" cannot list resource "pods" in API group "" in the namespace "models"'
    server.script.on("GET", Reply(status(403, "Forbidden", message=said), 403))

    with pytest.raises(Terminal) as caught:
        server.connection.call(Call("list", PODS, "models"))

    assert caught.value.help == 'grant the verb "list" on pods in API group "" in namespace models'


def test_the_server_says_how_long_to_wait(server: Server) -> None:
    server.script.on("PATCH", Reply(status(429, "TooManyRequests"), 429, headers=(("Retry-After", "7"),)))

    with pytest.raises(Transient) as caught:
        server.connection.call(PATCH)

    assert caught.value.retry_after == 7


@pytest.mark.parametrize(("call", "error"), [(READ, Transient), (PATCH, UnknownOutcome), (DRY_RUN, Transient)])
def test_an_answer_that_does_not_come(server: Server, call: Call, error: type[ReconcilerError]) -> None:
    server.script.on("GET", quiet())
    server.script.on("PATCH", quiet())

    with pytest.raises(error):
        server.connection.call(call)

    assert len(server.script.asked) == 1


class HangsUp(socketserver.BaseRequestHandler):
    """Reads a request and closes the connection."""

    def handle(self) -> None:
        self.request.recv(65536)


def test_an_answer_that_breaks_off_is_told_in_the_words_that_people_know(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with socketserver.TCPServer(("127.0.0.1", 0), HangsUp) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_address[1]}"
        write_kubeconfig(path, host, "token")
        connection = Connection(KubernetesSettings(kubeconfig=path))

        with pytest.raises(UnknownOutcome) as caught:
            connection.call(PATCH)

        connection.close()
        server.shutdown()
    assert caught.value.message.endswith(f"no answer from {host}: Remote end closed connection without response")


def test_a_server_that_is_not_there_has_done_nothing(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with scripted(path):
        connection = Connection(KubernetesSettings(kubeconfig=path))

    with pytest.raises(Transient, match="no connection to http://127"):
        connection.call(PATCH)


def test_a_renewed_token_is_read_again_when_the_old_one_is_refused(server: Server) -> None:
    host = server.connection.host
    late = Connection(server.settings, reload_seconds=0.0)
    write_kubeconfig(server.kubeconfig, host, "second-token")
    server.script.on("PATCH", Reply(status(401, "Unauthorized"), 401), Reply(service("iris", "1")))

    assert late.call(PATCH) == service("iris", "1")

    tokens = [headers["authorization"] for headers in server.script.seen_headers]
    assert tokens == ["Bearer first-token", "Bearer second-token"]


def test_a_token_that_two_threads_find_expired_fails_neither_of_them(tmp_path: Path) -> None:
    path, reload_seconds = tmp_path / "kubeconfig", 0.2
    both = threading.Barrier(2, timeout=10)
    refused, good = json.dumps(status(401, "Unauthorized")), json.dumps(service("iris", "1"))

    def play(connection: socket.socket, over: threading.Event) -> None:
        request = connection.recv(65536)
        if old := b"first-token" in request:
            both.wait()
            over.wait(1.5 * reload_seconds)
        line, body = ("401 Unauthorized", refused) if old else ("200 OK", good)
        head = f"HTTP/1.1 {line}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    with playing(play) as host:
        write_kubeconfig(path, f"http://{host}", "first-token")
        connection = Connection(KubernetesSettings(kubeconfig=path), reload_seconds)
        write_kubeconfig(path, f"http://{host}", "second-token")
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: connection.call(PATCH), range(2)))
        connection.close()

    assert answers == [service("iris", "1")] * 2


def test_a_watch_too_reads_the_renewed_token(server: Server) -> None:
    late = Connection(server.settings, reload_seconds=0.0)
    write_kubeconfig(server.kubeconfig, server.connection.host, "second-token")
    server.script.on("watch", Reply(status(401, "Unauthorized"), 401), Reply(lines=(bookmark("5"),)))

    with late.open(Call("watch", INFERENCE_SERVICES, "models", query=(("watch", "true"),)), 1.0) as stream:
        assert len(list(stream.lines())) == 1
    late.close()


def test_a_rejected_token_is_no_reason_to_wait_as_if_somebody_had_to_change_something() -> None:
    refused = refusal(PATCH, 401, status(401, "Unauthorized"), {})

    assert Backoff(timedelta(seconds=1), timedelta(minutes=5), lambda _, high: high).failed("iris", refused) == 1.0


def test_credentials_that_were_just_read_are_not_read_again(server: Server) -> None:
    server.script.on("PATCH", Reply(status(401, "Unauthorized"), 401))

    with pytest.raises(Unauthenticated, match="does not know us"):
        server.connection.call(PATCH)

    assert len(server.script.asked) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [({"kubeconfig": "missing"}, "no usable Kubernetes"), ({"kubeconfig": "here", "context": "nope"}, "nope")],
    ids=["a file that is missing", "a context that is missing"],
)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, given: dict[str, str], said: str) -> None:
    write_kubeconfig(tmp_path / "here", "http://127.0.0.1:1", "token")
    settings = KubernetesSettings.model_validate({**given, "kubeconfig": tmp_path / given["kubeconfig"]})

    with pytest.raises(SettingsError, match=said):
        Connection(settings)
