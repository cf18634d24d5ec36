"""Probes against a real HTTP server that speaks V1 and V2."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from reconciler.errors import Refused
from reconciler.observed import Side
from reconciler.ports import ProbeTarget
from reconciler.systems.probe import HttpProber
from tests.systems.scripted_http import Answer, Asked, Cut, Drip, Hang, Reply, scripted


@pytest.fixture
def prober() -> Iterator[HttpProber]:
    with HttpProber(timeout=timedelta(seconds=5), deadline=timedelta(seconds=30)) as opened:
        yield opened


def calmly() -> None:
    """Let every request be sent."""


def v1(asked: Asked) -> Reply:
    """Answer the sum of the row."""
    assert asked.path == "/v1/models/iris:predict"
    return Answer({"predictions": [sum(row) for row in asked.body["instances"]]})


def v2_output(*values: Any, datatype: str = "FP64") -> dict[str, Any]:
    return {"name": "output-0", "shape": [1, len(values)], "datatype": datatype, "data": list(values)}


def target(url: str, protocol: str = "v1", model: str = "iris") -> ProbeTarget:
    return ProbeTarget(url, model, protocol)


def test_v1_cycles_over_the_rows_and_keeps_their_order(prober: HttpProber) -> None:
    with scripted(v1) as server:
        result = prober.probe(target(server.url + "/"), [[1, 2], [3, 4], [5, 6]], 7, calmly)

    assert result.answers == (3, 7, 11, 3, 7, 11, 3)
    assert (result.side.requests, result.side.errors) == (7, 0)
    assert len(result.side.latencies_ms) == 7


SENT_V2: dict[str, tuple[Any, dict[str, Any]]] = {
    "numbers with a fraction": (
        [5.1, 3],
        {"inputs": [{"name": "input-0", "shape": [1, 2], "datatype": "FP64", "data": [5.1, 3]}]},
    ),
    "integers": ([5, 3], {"inputs": [{"name": "input-0", "shape": [1, 2], "datatype": "INT64", "data": [5, 3]}]}),
    "texts": (["a", "b"], {"inputs": [{"name": "input-0", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "b"]}]}),
    "truths": ([True], {"inputs": [{"name": "input-0", "shape": [1, 1], "datatype": "BOOL", "data": [True]}]}),
    "one value": (7, {"inputs": [{"name": "input-0", "shape": [1, 1], "datatype": "INT64", "data": [7]}]}),
    "an image": (
        [[0.5, 1.0], [1.5, 2.0]],
        {"inputs": [{"name": "input-0", "shape": [1, 2, 2], "datatype": "FP64", "data": [0.5, 1.0, 1.5, 2.0]}]},
    ),
    "named columns": (
        {"width": 1.5, "petals": 2, "colour": "red"},
        {
            "parameters": {"content_type": "pd"},
            "inputs": [
                {"name": "width", "shape": [1, 1], "datatype": "FP64", "data": [1.5]},
                {"name": "petals", "shape": [1, 1], "datatype": "INT64", "data": [2]},
                {"name": "colour", "shape": [1, 1], "datatype": "BYTES", "data": ["red"]},
            ],
        },
    ),
}


@pytest.mark.parametrize("case", SENT_V2)
def test_v2_sends(prober: HttpProber, case: str) -> None:
    row, expected = SENT_V2[case]
    with scripted(lambda _: Answer({"outputs": [v2_output(1.0)]})) as server:
        assert prober.probe(target(server.url, "v2"), [row], 1, calmly).answers == (1.0,)
    assert server.asked[0].path == "/v2/models/iris/infer"
    assert server.asked[0].body == expected


def test_v1_sends_named_columns_as_they_are(prober: HttpProber) -> None:
    with scripted(lambda _: Answer({"predictions": ["red"]})) as server:
        assert prober.probe(target(server.url), [{"width": 1.5}], 1, calmly).answers == ("red",)
    assert server.asked[0].body == {"instances": [{"width": 1.5}]}


def test_a_models_name_is_quoted(prober: HttpProber) -> None:
    with scripted(lambda _: Answer({"predictions": [1]})) as server:
        prober.probe(target(server.url, model="a/b c"), [[1]], 1, calmly)
    assert server.asked[0].path == "/v1/models/a%2Fb%20c:predict"


ANSWERS: dict[str, tuple[str, Any, Any]] = {
    "v1, a number": ("v1", {"predictions": [1.5]}, 1.5),
    "v1, probabilities": ("v1", {"predictions": [[0.1, 0.9]]}, [0.1, 0.9]),
    "v1, a number with an exponent": ("v1", {"predictions": [1.5e-300]}, 1.5e-300),
    "v1, named outputs": ("v1", {"predictions": {"p": [0.5], "q": [2]}}, {"p": 0.5, "q": 2}),
    "v2, one value": ("v2", {"outputs": [v2_output(1.5)]}, 1.5),
    "v2, a shape without columns": (
        "v2", {"outputs": [{"name": "o", "shape": [1], "datatype": "INT64", "data": [2]}]}, 2,
    ),
    "v2, probabilities": ("v2", {"outputs": [v2_output(0.1, 0.9)]}, [0.1, 0.9]),
    "v2, nested data": ("v2", {"outputs": [{**v2_output(0.1, 0.9), "data": [[0.1, 0.9]]}]}, [0.1, 0.9]),
    "v2, several outputs": (
        "v2", {"outputs": [v2_output(1.5), {**v2_output("a"), "name": "label"}]}, {"output-0": 1.5, "label": "a"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_become_plain_values(prober: HttpProber, case: str) -> None:
    protocol, body, expected = ANSWERS[case]
    with scripted(lambda _: Answer(body)) as server:
        result = prober.probe(target(server.url, protocol), [[1.0]], 1, calmly)
    assert result.answers == (expected,)
    assert result.side.errors == 0


FAILED: dict[str, tuple[str, Reply]] = {
    "500": ("v1", Answer({"error": "boom"}, 500)),
    "503": ("v1", Answer({}, 503)),
    "400, a good body beside it": ("v1", Answer({"predictions": [1]}, 400)),
    "a redirect": ("v1", Answer({}, 302, {"location": "/"})),
    "no JSON": ("v1", Answer(b"<html>")),
    "truncated JSON": ("v1", Answer(b'{"predictions": [1')),
    "no predictions": ("v1", Answer({})),
    "a list": ("v1", Answer([])),
    "two predictions for one row": ("v1", Answer({"predictions": [1, 2]})),
    "null": ("v1", Answer({"predictions": [None]})),
    "NaN": ("v1", Answer(b'{"predictions": [NaN]}')),
    "an infinity in a list": ("v1", Answer(b'{"predictions": [[0.5, -Infinity]]}')),
    "a number beyond all floats": ("v1", Answer(b'{"predictions": [1e999]}')),
    "v2: NaN": ("v2", Answer(b'{"outputs": [{"name": "o", "shape": [1, 1], "datatype": "FP64", "data": [NaN]}]}')),
    "v2: no outputs": ("v2", Answer({"outputs": []})),
    "v2: data and shape disagree": ("v2", Answer({"outputs": [{**v2_output(1.0, 2.0), "shape": [1, 3]}]})),
    "v2: two rows": ("v2", Answer({"outputs": [{**v2_output(1.0, 2.0), "shape": [2, 1]}]})),
    "v2: no shape": ("v2", Answer({"outputs": [{"name": "o", "data": [1]}]})),
    "v2: a shape of text": ("v2", Answer({"outputs": [{**v2_output(1.0), "shape": "1"}]})),
    "a cut before the answer": ("v1", Cut()),
    "a cut in the answer": ("v1", Cut(b'{"predictions"')),
    "no answer in time": ("v1", Hang()),
    "an answer that never ends": ("v1", Drip()),
    "an answer without bound": ("v1", Answer(b" " * (5 * 1024 * 1024) + b'{"predictions": [1]}')),
}


@pytest.mark.parametrize("case", FAILED)
def test_counts_as_an_error_of_that_side(case: str) -> None:
    protocol, reply = FAILED[case]
    with (
        scripted(lambda _: reply) as server,
        HttpProber(timedelta(seconds=0.3), timedelta(seconds=20)) as prober,
    ):
        result = prober.probe(target(server.url, protocol), [[1.0]], 2, calmly)
    assert result.side == Side(2, 2, ())
    assert result.answers == (None, None)


def test_nobody_listening_counts_as_errors(prober: HttpProber) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        result = prober.probe(target(f"http://127.0.0.1:{held.getsockname()[1]}"), [[1]], 3, calmly)
    assert result.side == Side(3, 3, ())


@pytest.mark.parametrize("url", ["", "not a url", "http://", "ftp://x/y", "http://[::1"])
def test_an_address_that_is_none_counts_as_errors(prober: HttpProber, url: str) -> None:
    assert prober.probe(target(url), [[1]], 2, calmly).side == Side(2, 2, ())


def test_a_failure_among_answers_leaves_a_gap_in_its_place(prober: HttpProber) -> None:
    def script(asked: Asked) -> Reply:
        return Answer({}, 500) if asked.body["instances"] == [[2]] else v1(asked)

    with scripted(script) as server:
        result = prober.probe(target(server.url), [[1], [2], [3]], 6, calmly)
    assert result.answers == (1, None, 3, 1, None, 3)
    assert (result.side.requests, result.side.errors, len(result.side.latencies_ms)) == (6, 2, 4)


def test_never_more_than_four_requests_at_once(prober: HttpProber) -> None:
    with scripted(lambda _: Answer({"predictions": [1]}, delay=0.03)) as server:
        prober.probe(target(server.url), [[1]], 24, calmly)
        assert len(server.asked) == 24
        assert server.most_open == 4


def test_latencies_are_milliseconds_of_the_answer(prober: HttpProber) -> None:
    with scripted(lambda _: Answer({"predictions": [1]}, delay=0.05)) as server:
        latencies = prober.probe(target(server.url), [[1]], 4, calmly).side.latencies_ms
    assert all(50 <= latency < 2000 for latency in latencies)


def test_connections_are_kept(prober: HttpProber) -> None:
    """Else the latencies would be those of the handshake."""
    with scripted(lambda _: Answer({"predictions": [1]})) as server:
        for _ in range(2):
            prober.probe(target(server.url), [[1]], 20, calmly)
        assert len(server.asked) == 40
        assert len(server.connections) <= 4


def test_the_deadline_ends_the_probe_and_what_was_never_sent_is_not_counted() -> None:
    begun = time.monotonic()
    with (
        scripted(lambda _: Hang()) as server,
        HttpProber(timedelta(seconds=0.3), timedelta(seconds=0.5)) as prober,
    ):
        result = prober.probe(target(server.url), [[1]], 100, calmly)
        assert time.monotonic() - begun < 3
        assert result.side.requests == result.side.errors == len(server.asked) < 100
    assert result.answers == (None,) * 100


def test_a_side_that_recovers_is_measured_as_it_was(prober: HttpProber) -> None:
    numbers = count()
    with scripted(lambda a: Cut() if next(numbers) < 3 else v1(a)) as server:
        side = prober.probe(target(server.url), [[1]], 12, calmly).side
    assert (side.requests, side.errors) == (12, 3)


class EnoughError(Exception):
    """The test has seen enough."""


def test_what_is_raised_before_a_request_ends_the_probe_and_nothing_more_is_sent(prober: HttpProber) -> None:
    def until_three() -> None:
        if len(server.asked) >= 3:
            raise EnoughError

    with scripted(lambda _: Answer({"predictions": [1]}, delay=0.2)) as server:
        with pytest.raises(EnoughError):
            prober.probe(target(server.url), [[1]], 1000, until_three)
        assert len(server.asked) <= 4 + 3


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ([1.5, "red"], "mixes types"),
        ([[1, 2], [3]], "ragged"),
        ([], "nothing"),
        ({"a": None}, "NoneType"),
        ([float("nan")], "finite numbers"),
    ],
)
def test_a_row_that_v2_cannot_carry_is_refused_before_anything_is_sent(prober: HttpProber, row: Any, says: str) -> None:
    with scripted(lambda _: Answer({})) as server:
        with pytest.raises(Refused) as refused:
            prober.probe(target(server.url, "v2"), [row], 1, calmly)
        assert says in refused.value.message + refused.value.help
        assert not server.asked


def test_a_probe_without_rows_or_of_another_protocol_is_misuse(prober: HttpProber) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        prober.probe(target("http://127.0.0.1:1"), [], 1, calmly)
    with pytest.raises(ValueError, match="expected v1 or v2"):
        prober.probe(target("http://127.0.0.1:1", "v3"), [[1]], 1, calmly)
