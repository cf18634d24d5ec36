"""Asking Prometheus: answers as it gives them, odd ones, failures of it and of the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import ReconcilerError, Refused, SettingsError, Transient
from reconciler.ports import Reading
from reconciler.settings import PrometheusSettings
from reconciler.systems.prometheus import MAX_ANSWER, Prometheus
from reconciler.systems.retrying import Pauses
from tests.systems.scripted_http import Answer, Asked, Cut, Drip, Hang, Reply, ScriptedServer, scripted

AT = datetime(2026, 8, 20, 9, 30, tzinfo=UTC)
QUERY = 'sum(rate(x{revision_name="iris-predictor-00002"}[2m]))'


def answer(result: Any, kind: str = "vector", **more: object) -> Answer:
    return Answer({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def sample(text: object, at: float = AT.timestamp()) -> dict[str, object]:
    return {"metric": {}, "value": [at, text]}


def refused(status: int, kind: str, said: str) -> Answer:
    return Answer({"status": "error", "errorType": kind, "error": said}, status)


@dataclass(slots=True)
class Time:
    """A clock that only pauses move."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pauses(self) -> Pauses:
        return Pauses(lambda: self.now, self.sleep, max)


@contextmanager
def asking(*replies: Reply, timeout: str = "5s", **settings: Any) -> Iterator[tuple[Prometheus, ScriptedServer]]:
    """Serve these replies in turn, the last one again and again."""
    left = list(replies)

    def script(_: Asked) -> Reply:
        return left.pop(0) if len(left) > 1 else left[0]

    with scripted(script) as server:
        chosen = PrometheusSettings.model_validate({"url": f"{server.url}/prefix/", "timeout": timeout, **settings})
        with Prometheus(chosen, Time().pauses()) as prometheus:
            yield prometheus, server


def ask(prometheus: Prometheus) -> Reading:
    return prometheus.value(QUERY, AT, timedelta(minutes=4))


VALUES: dict[str, tuple[Answer, float | None, str]] = {
    "one series is a value": (answer([sample("0.25")]), 0.25, ""),
    "an exponent is a number": (answer([sample("1e-05")]), 1e-05, ""),
    "a scalar is a value": (answer([AT.timestamp(), "3"], "scalar"), 3.0, ""),
    "infos are no warnings": (answer([sample("1")], infos=["metric might not be a counter"]), 1.0, ""),
    "no series is no value": (answer([]), None, "no series"),
    "NaN is no value": (answer([sample("NaN")]), None, "is NaN"),
    "infinity is no value": (answer([sample("+Inf")]), None, "is +Inf"),
    "minus infinity is no value": (answer([sample("-Inf")]), None, "is -Inf"),
    "what was evaluated before is stale": (answer([sample("1", AT.timestamp() - 300)]), None, "stale"),
    "what was evaluated later is as odd": (answer([sample("1", AT.timestamp() + 300)]), None, "stale"),
    "a time that is no number is stale": (answer([sample("1", float("inf"))]), None, "stale"),
}


@pytest.mark.parametrize("sentence", VALUES)
def test_an_answer_is_one_finite_number_or_none(sentence: str) -> None:
    reply, value, why = VALUES[sentence]
    with asking(reply) as (prometheus, _):
        reading = ask(prometheus)
    assert reading.value == value
    assert why in reading.why
    assert bool(reading.why) is (value is None)


FAILURES: dict[str, tuple[Reply, type[ReconcilerError], str]] = {
    "several series": (answer([sample("1"), sample("2")]), Refused, "2 series, not one number"),
    "a matrix": (answer([{"metric": {}, "values": [[1, "1"]]}], "matrix"), Refused, "answers a matrix"),
    "a string": (answer([AT.timestamp(), "x"], "string"), Refused, "answers a string"),
    "a native histogram": (
        answer([{"metric": {}, "histogram": [AT.timestamp(), {"count": "1"}]}]), Refused, "histogram",
    ),
    "a query that cannot be read": (refused(400, "bad_data", "parse error"), Refused, "parse error"),
    "a query that cannot be carried out": (refused(422, "execution", "many-to-many"), Refused, "many-to-many"),
    "nobody who may ask": (refused(401, "", ""), Refused, "does not let us ask"),
    "nobody who may ask this": (Answer(b"no", 403), Refused, "does not let us ask"),
    "another server": (Answer(b"<html>", 404), Refused, "is not Prometheus"),
    "a way elsewhere": (Answer(b"", 302, {"location": "http://169.254.169.254/"}), Refused, "sends us elsewhere"),
    "too much load": (refused(503, "timeout", "query timed out"), Transient, "answers 503: query timed out"),
    "an error inside": (Answer(b"oops", 500), Transient, "answers 500"),
    "a long pause asked for": (Answer(b"", 429, {"retry-after": "60"}), Transient, "answers 429"),
    "warnings, as of a store that is gone": (
        answer([sample("0")], warnings=["store unavailable"]), Transient, "only in part: store unavailable",
    ),
    "warnings that are no list": (answer([sample("0")], warnings="odd"), Transient, "only in part: odd"),
    "an error with status 200": (Answer({"status": "error", "error": "no"}), Transient, "did not succeed: no"),
    "success without data": (Answer({"status": "success"}), Transient, "did not succeed"),
    "a value that is none": (answer([sample("soon")]), Transient, "a value that is none"),
    "a value that is no text": (answer([sample(1)]), Transient, "a value that is none"),
    "a sample without a value": (answer([{"metric": {}}]), Transient, "a value that is none"),
    "a sample that is no object": (answer([3]), Transient, "a value that is none"),
    "a vector that is no list": (answer({"a": 1}), Refused, "not one number"),
    "no JSON": (Answer(b"<html>"), Transient, "is no JSON"),
    "no JSON object": (Answer([1]), Transient, "no JSON object"),
    "an empty answer": (Answer(b""), Transient, "is no JSON"),
    "an answer without end": (Answer(b" " * (MAX_ANSWER + 1)), Refused, "larger than"),
    "a connection that is cut": (Cut(), Transient, "cannot be reached"),
    "an answer that is cut": (Cut(b'{"status":'), Transient, "cannot be reached"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", FAILURES)
def test_everything_else_is_an_error_and_never_a_value(sentence: str) -> None:
    reply, kind, words = FAILURES[sentence]
    with asking(reply) as (prometheus, _), pytest.raises(kind, match=words) as error:
        ask(prometheus)
    assert type(error.value) is kind


@pytest.mark.parametrize("reply", [Hang(), Drip()])
def test_no_answer_ends_with_the_time_out(reply: Reply) -> None:
    with (
        asking(reply, timeout="300ms") as (prometheus, _),
        pytest.raises(Transient, match=r"did not answer|be reached"),
    ):
        ask(prometheus)


def test_a_query_is_sent_with_its_instant_and_how_old_values_may_be() -> None:
    with asking(answer([sample("1")])) as (prometheus, server):
        ask(prometheus)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/prefix/api/v1/query")
    assert asked.body == {
        "query": QUERY, "time": "1787218200.000", "timeout": "5000ms", "lookback_delta": "240000ms",
        "partial_response": "false",
    }  # fmt: skip
    assert "authorization" not in asked.headers


def test_what_may_pass_is_asked_again_and_what_cannot_is_not() -> None:
    with asking(Answer(b"", 503), Cut(), answer([sample("1")])) as (prometheus, server):
        assert ask(prometheus).value == 1.0
        assert len(server.asked) == 3
    with asking(refused(400, "bad_data", "no")) as (prometheus, server):
        with pytest.raises(Refused):
            ask(prometheus)
        assert len(server.asked) == 1


def test_a_long_pause_is_left_to_the_loop() -> None:
    with asking(Answer(b"", 429, {"retry-after": "60"})) as (prometheus, server):
        with pytest.raises(Transient) as error:
            ask(prometheus)
        assert error.value.retry_after == 60
        assert len(server.asked) == 1


def test_the_token_is_read_anew_for_each_question(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n", encoding="utf-8")
    with asking(answer([sample("1")]), token={"file": str(file)}) as (prometheus, server):
        ask(prometheus)
        file.write_text("two\n", encoding="utf-8")
        ask(prometheus)
        file.unlink()
        with pytest.raises(Transient, match="cannot read the secret file"):
            ask(prometheus)
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer one", "Bearer two"]


def test_nobody_at_the_address_is_transient() -> None:
    with scripted(lambda _: Hang()) as server:
        url = server.url
    with (
        Prometheus(PrometheusSettings(url=url), Time().pauses()) as prometheus,
        pytest.raises(Transient, match="cannot be reached"),
    ):
        ask(prometheus)


@pytest.mark.parametrize("url", ["prometheus:9090", "file:///etc/passwd", "http://"])
def test_what_is_no_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match=r"prometheus\.url"):
        Prometheus(PrometheusSettings(url=url))
