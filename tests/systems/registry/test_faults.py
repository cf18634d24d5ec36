"""Odd answers and broken connections, each with the error that says what is known afterwards."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from reconciler.errors import (
    Conflict,
    ReconcilerError,
    Refused,
    SettingsError,
    Terminal,
    Transient,
    UnknownOutcome,
)
from reconciler.settings import Secret
from reconciler.systems.registry.rest import MlflowRegistry
from tests.systems.registry.conftest import registry_at
from tests.systems.scripted_http import Answer, Asked, Cut, Drip, Hang, Reply, Script, scripted


def model(name: str, *latest: int) -> dict[str, Any]:
    return {"name": name, "latest_versions": [version(name, n) for n in latest]}


def version(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "version": str(number), "current_stage": "None", "creation_timestamp": 1, "status": "READY"}


def absent(name: str) -> Answer:
    return Answer({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"Model {name} not found"}, 404)


class World:
    """A registry that can be told to lie: `lists` are its bulk answers in turn, the last one stays."""

    def __init__(self, truth: dict[str, list[int]], *lists: tuple[Reply, Reply]) -> None:
        self.truth = truth
        self.lists = list(lists)

    def __call__(self, asked: Asked) -> Reply:
        path, query = urlsplit(asked.path).path.removeprefix("/api/2.0/mlflow/"), parse_qs(urlsplit(asked.path).query)
        if path == "registered-models/get":
            name = query["name"][0]
            return Answer({"registered_model": model(name, *self.truth[name])}) if name in self.truth else absent(name)
        if "filter" in query:
            name = query["filter"][0].removeprefix("name = '").removesuffix("'")
            return Answer({"model_versions": [version(name, n) for n in self.truth.get(name, [])]})
        models, versions = self.lists[0]
        if path == "registered-models/search":
            return models
        if len(self.lists) > 1:
            self.lists.pop(0)
        return versions


def lists(truth: dict[str, list[int]]) -> tuple[Reply, Reply]:
    """Answer as a registry does that holds this: `{}` for an empty list."""
    models = [model(name, *numbers[-1:]) for name, numbers in truth.items()]
    versions = [version(name, n) for name, numbers in truth.items() for n in numbers]
    return Answer({"registered_models": models} if models else {}), Answer(
        {"model_versions": versions} if versions else {}
    )


def seen(registry: MlflowRegistry) -> dict[str, list[int]]:
    return {name: [v.version for v in m.versions] for name, m in registry.read_all().items()}


FULL = {"iris": [1, 2], "wine": [1]}


def test_an_empty_registry_is_empty() -> None:
    with scripted(World({}, lists({}))) as server, registry_at(server.url) as registry:
        assert seen(registry) == {}


def test_one_empty_answer_is_not_believed() -> None:
    with scripted(World(FULL, lists({}), lists(FULL))) as server, registry_at(server.url) as registry:
        assert seen(registry) == FULL


def test_two_empty_answers_do_not_hide_models_that_are_still_there() -> None:
    world = World(FULL, lists(FULL), lists({}))
    with scripted(world) as server, registry_at(server.url) as registry:
        assert seen(registry) == FULL
        assert seen(registry) == FULL


def test_a_list_that_leaves_a_known_model_out_does_not_hide_it() -> None:
    world = World(FULL, lists(FULL), lists({"iris": [1, 2]}))
    with scripted(world) as server, registry_at(server.url) as registry:
        registry.read_all()
        assert seen(registry) == FULL


def test_a_known_model_is_gone_when_the_registry_says_so_by_name() -> None:
    world = World(dict(FULL), lists(FULL), lists({"iris": [1, 2]}))
    with scripted(world) as server, registry_at(server.url) as registry:
        registry.read_all()
        del world.truth["wine"]
        assert seen(registry) == {"iris": [1, 2]}


def test_a_lists_loss_of_very_many_models_is_no_reading() -> None:
    many = {f"m{i}": [1] for i in range(60)}
    world = World(many, lists(many), lists({}))
    with scripted(world) as server, registry_at(server.url) as registry:
        registry.read_all()
        with pytest.raises(Transient, match="leave out models"):
            registry.read_all()


TORN = {
    "the versions lack one that the model names": (lists(FULL)[0], lists({"iris": [1], "wine": [1]})[1]),
    "the versions are an empty answer": (lists(FULL)[0], Answer({})),
    "the models are an empty answer": (Answer({}), lists(FULL)[1]),
    "the models lack one that has versions": (lists({"iris": [1, 2]})[0], lists(FULL)[1]),
    "a model is listed twice": (
        Answer({"registered_models": [model("iris", 2), model("iris", 2), model("wine", 1)]}),
        lists(FULL)[1],
    ),
    "an alias points at a version that is not listed": (
        Answer({"registered_models": [model("wine"), {**model("iris"), "aliases": [{"alias": "a", "version": "2"}]}]}),
        lists({"iris": [1], "wine": [1]})[1],
    ),
}


@pytest.mark.parametrize("case", TORN)
def test_lists_that_disagree_are_settled_by_name(case: str) -> None:
    with scripted(World(FULL, TORN[case])) as server, registry_at(server.url) as registry:
        assert seen(registry) == FULL


def test_lists_that_disagree_about_very_many_are_no_reading() -> None:
    many = {f"m{i}": [1] for i in range(60)}
    with scripted(World(many, (lists(many)[0], Answer({})))) as server, registry_at(server.url) as registry:
        with pytest.raises(Transient, match="disagree about 60 models"):
            registry.read_all()
        assert len(server.asked) == 4


def test_one_model_whose_answers_never_fit_is_no_reading() -> None:
    def torn(asked: Asked) -> Reply:
        return Answer({"registered_model": model("iris", 2)}) if "/get?" in asked.path else Answer({})

    with (
        scripted(torn) as server,
        registry_at(server.url) as registry,
        pytest.raises(Transient, match="do not fit together"),
    ):
        registry.read("iris")


def test_pages_are_followed_to_the_end() -> None:
    def paged(asked: Asked) -> Reply:
        query = parse_qs(urlsplit(asked.path).query)
        if "model-versions" in asked.path:
            return lists({f"m{i}": [1] for i in range(3)})[1]
        page = int(query.get("page_token", ["0"])[0])
        more = {"next_page_token": str(page + 1)} if page < 2 else {}
        return Answer({"registered_models": [model(f"m{page}", 1)], **more})

    with scripted(paged) as server, registry_at(server.url) as registry:
        assert seen(registry) == {"m0": [1], "m1": [1], "m2": [1]}
        assert registry.calls == 4


def test_a_page_that_names_itself_as_the_next_is_no_reading() -> None:
    with (
        scripted(lambda _: Answer({"registered_models": [], "next_page_token": "x"})) as server,
        registry_at(server.url) as registry,
        pytest.raises(Transient, match="the same page again"),
    ):
        registry.read_all()


READS: dict[str, tuple[Reply, type[ReconcilerError]]] = {
    "500": (Answer({"error_code": "INTERNAL_ERROR", "message": "boom"}, 500), Transient),
    "502 from a proxy": (Answer(b"<html>bad gateway</html>", 502), Transient),
    "truncated JSON": (Answer(b'{"registered_model": {"name": "ir'), Transient),
    "a page of HTML": (Answer(b"<html>log in</html>"), Transient),
    "a list": (Answer([]), Transient),
    "an object of another kind": (Answer({"items": []}), Transient),
    "a model without a name": (Answer({"registered_model": {}}), Transient),
    "another model": (Answer({"registered_model": model("wine")}), Transient),
    "null": (Answer({"registered_model": None}), Transient),
    "a redirect": (Answer(b"", 302, {"location": "/login"}), Transient),
    "a 404 that MLflow did not write": (Answer(b"not here", 404), Transient),
    "a cut before the answer": (Cut(), Transient),
    "a cut in the answer": (Cut(b'{"registered_model"'), Transient),
    "no answer": (Hang(), Transient),
    "an answer that never ends": (Drip(), Transient),
    "401": (Answer({}, 401), Terminal),
    "403": (Answer({"error_code": "PERMISSION_DENIED", "message": "no"}, 403), Terminal),
    "400": (Answer({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}, 400), Refused),
    "429": (Answer({}, 429), Transient),
    "503": (Answer(b"starting", 503), Transient),
}


@pytest.mark.parametrize("case", READS)
def test_a_read_never_takes_an_odd_answer_for_absence(case: str) -> None:
    reply, error = READS[case]
    with scripted(lambda _: reply) as server, registry_at(server.url, timeout=0.4) as registry:
        with pytest.raises(ReconcilerError) as raised:
            registry.read("iris")
        assert type(raised.value) is error
        assert len(server.asked) <= 2
        with pytest.raises(error):
            registry.read_all()


@pytest.mark.parametrize(
    "odd", [{"version": "x"}, {"current_stage": "Elsewhere"}, {"creation_timestamp": None}, {"tags": [7]}, {"name": 5}]
)
def test_a_version_of_another_shape_is_no_reading(odd: dict[str, Any]) -> None:
    def script(asked: Asked) -> Reply:
        listed = [{**version("iris", 1), **odd}]
        return Answer({"model_versions": listed}) if "model-versions" in asked.path else lists({"iris": [1]})[0]

    with (
        scripted(script) as server,
        registry_at(server.url) as registry,
        pytest.raises(Transient, match="not MLflow's"),
    ):
        registry.read_all()


def test_a_read_is_tried_once_more_after_a_passing_failure() -> None:
    replies: Iterator[Reply] = iter([Cut(), *lists(FULL)])
    with scripted(lambda _: next(replies)) as server, registry_at(server.url) as registry:
        assert seen(registry) == FULL
        assert registry.calls == 3


WRITES: dict[str, tuple[Reply, type[ReconcilerError]]] = {
    "500": (Answer({"error_code": "INTERNAL_ERROR", "message": "boom"}, 500), UnknownOutcome),
    "504 from a proxy": (Answer(b"", 504), UnknownOutcome),
    "503 without a word when to come back": (Answer(b"", 503), UnknownOutcome),
    "503 from a proxy that may have passed it on": (Answer(b"", 503, {"retry-after": "1"}), UnknownOutcome),
    "408 from a proxy": (Answer(b"", 408), UnknownOutcome),
    "truncated JSON": (Answer(b'{"model_ver'), UnknownOutcome),
    "a cut before the answer": (Cut(), UnknownOutcome),
    "a cut in the answer": (Cut(b"{"), UnknownOutcome),
    "no answer": (Hang(), UnknownOutcome),
    "an answer that never ends": (Drip(), UnknownOutcome),
    "401": (Answer({}, 401), Terminal),
    "404 from a proxy": (Answer(b"", 404), Transient),
    "409": (Answer({"error_code": "RESOURCE_CONFLICT", "message": "meanwhile"}, 409), Conflict),
    "400": (Answer({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}, 400), Refused),
}


@pytest.mark.parametrize("case", WRITES)
def test_a_write_is_sent_once_and_says_what_is_known(case: str) -> None:
    reply, error = WRITES[case]
    with scripted(lambda _: reply) as server, registry_at(server.url, timeout=0.4) as registry:
        with pytest.raises(ReconcilerError) as raised:
            registry.tag("iris", 1, "k", "v")
        assert type(raised.value) is error
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "call"),
    [
        (429, lambda r: r.read("iris")),
        (503, lambda r: r.read("iris")),
        (429, lambda r: r.tag("iris", 1, "k", "v")),
    ],
)
def test_a_server_that_asks_for_a_pause_gets_it(status: int, call: Callable[[MlflowRegistry], None]) -> None:
    answer = Answer({}, status, {"retry-after": "17"})
    with scripted(lambda _: answer) as server, registry_at(server.url) as registry:
        with pytest.raises(Transient) as raised:
            call(registry)
        assert raised.value.retry_after == 17
        assert len(server.asked) == 1


@pytest.mark.parametrize("call", [lambda r: r.read("iris"), lambda r: r.delete("iris"), lambda r: r.read_all()])
def test_a_server_that_is_not_there_is_transient(call: Callable[[MlflowRegistry], None]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with (
            registry_at(f"http://127.0.0.1:{held.getsockname()[1]}") as registry,
            pytest.raises(Transient, match="cannot be reached") as raised,
        ):
            call(registry)
    assert "mlflow.trackingUri" in raised.value.help


def echo(kept: list[str | None]) -> Script:
    def script(asked: Asked) -> Reply:
        kept.append(asked.headers.get("authorization"))
        return absent("iris")

    return script


def test_credentials_are_sent_and_a_rotated_token_is_taken_up(tmp_path: Any) -> None:
    kept: list[str | None] = []
    file = tmp_path / "token"
    file.write_text("first\n")
    with scripted(echo(kept)) as server:
        with registry_at(server.url, token=Secret(file=file)) as registry:
            registry.read("iris")
            file.write_text("second")
            registry.read("iris")
        file.write_text("pass")
        with registry_at(server.url, username="user", password=Secret(file=file)) as registry:
            registry.read("iris")
        with registry_at(server.url) as registry:
            registry.read("iris")
    assert kept == ["Bearer first", "Bearer second", "Basic dXNlcjpwYXNz", None]


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "./mlruns", "file:///mlruns", "databricks", "http://"])
def test_an_address_that_is_no_server_is_a_settings_error(uri: str) -> None:
    with pytest.raises(SettingsError, match=r"mlflow\.trackingUri"):
        registry_at(uri)
