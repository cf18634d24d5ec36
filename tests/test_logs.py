"""Log lines: for machines and for people, without secrets, and not to be forged."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.logs import bound, get_logger, set_up_logs
from reconciler.redaction import Redactor
from reconciler.settings import LogSettings

SECRET = "pl4nted-s3cret"
HOSTILE = "a\x1b[2Jb\nFORGED\r\x07\x9b31m\u202egnp.exe\u2028\x7f\ud800"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Format = Literal["auto", "json", "console"]
SetUp = Callable[..., io.StringIO]


@pytest.fixture
def set_up() -> SetUp:
    def set_up(format: Format = "json", *, stream: io.StringIO | None = None, **fields: Any) -> io.StringIO:  # noqa: A002  the setting's name
        stream = stream or io.StringIO()
        set_up_logs(LogSettings(format=format, **fields), Redactor([SECRET]), stream)
        return stream

    return set_up


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_a_json_object_with_time_level_event_and_context(set_up: SetUp) -> None:
    stream = set_up()
    with bound(model="iris", action="Deploy"):
        get_logger("reconciler.x").info("deployed", commit="4f2c1ab", version=7)
    (line,) = _lines(stream)
    assert list(line)[:3] == ["ts", "level", "event"]
    at = datetime.fromisoformat(line.pop("ts"))
    assert at.utcoffset() is not None
    assert line == {
        "level": "info",
        "event": "deployed",
        "model": "iris",
        "action": "Deploy",
        "commit": "4f2c1ab",
        "version": 7,
        "logger": "reconciler.x",
    }


def test_context_ends_with_its_block_and_stays_in_its_thread(set_up: SetUp) -> None:
    stream = set_up()
    log = get_logger("x")
    with bound(model="iris"):
        other = threading.Thread(target=lambda: log.info("elsewhere"))
        other.start()
        other.join()
    log.info("after")
    assert all("model" not in line for line in _lines(stream))


@pytest.mark.parametrize(
    "library", ["apscheduler.scheduler", "uvicorn.error", "urllib3.connectionpool", "alembic.runtime"]
)
def test_libraries_take_the_same_way(set_up: SetUp, library: str) -> None:
    stream = set_up()
    logging.getLogger(library).warning("retrying %s", SECRET, extra={"token": "abc"})
    (line,) = _lines(stream)
    assert (line["event"], line["level"], line["logger"], line["token"]) == ("retrying ***", "warning", library, "***")


def test_libraries_chatter_is_left_out(set_up: SetUp) -> None:
    stream = set_up(level="debug")
    for library in ("apscheduler.scheduler", "uvicorn.access", "urllib3", "httpx"):
        logging.getLogger(library).info("chatter")
    logging.getLogger("kubernetes.client.rest").debug("response body: ...")
    get_logger("reconciler").debug("ours")
    assert [line["event"] for line in _lines(stream)] == ["ours"]


def test_the_level_is_respected(set_up: SetUp) -> None:
    stream = set_up(level="warning")
    get_logger("x").info("no")
    get_logger("x").warning("yes")
    assert [line["event"] for line in _lines(stream)] == ["yes"]


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_planted_secret_shows_nowhere(set_up: SetUp, format_: Format) -> None:
    stream = set_up(format_)
    log = get_logger("x")
    with bound(model=f"iris-{SECRET}"):
        log.info(SECRET, value=SECRET, nested={"x": [SECRET], SECRET: 1}, password="abc", thing=ValueError(SECRET))
        log.info("with %s", SECRET)
        logging.getLogger("urllib3").warning("GET https://ana:%s@host/", "hunter2")
        try:
            _fail(f"cannot log in with {SECRET}")
        except ValueError:
            log.exception("failed", stack_info=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"about {SECRET}", stacklevel=1)
    text = stream.getvalue()
    assert "cannot log in with ***" in text
    assert "about ***" in text
    assert SECRET not in text
    assert "hunter2" not in text


def test_uncaught_exceptions_take_the_same_way(set_up: SetUp) -> None:
    stream = set_up()

    def fail() -> None:
        raise RuntimeError(SECRET)

    thread = threading.Thread(target=fail, name="lost")
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError(SECRET), None)
    in_thread, in_main = _lines(stream)
    assert (in_thread["level"], in_thread["thread"]) == ("critical", "lost")
    assert "RuntimeError: ***" in in_thread["exception"]
    assert "ValueError: ***" in in_main["exception"]


def _fail(message: str) -> None:
    raise ValueError(message) from KeyError(message)


def _stray(text: str) -> set[str]:
    return {c for c in text if ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028\ud800"}


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_hostile_value_cannot_forge_a_line_or_paint_the_terminal(set_up: SetUp, format_: Format) -> None:
    stream = set_up(format_)
    get_logger("x").info(HOSTILE, value=HOSTILE, nested={HOSTILE: [HOSTILE]}, **{HOSTILE: HOSTILE})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert _stray(text) == {"\n"}
    text.encode("utf-8")


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_hostile_exception_cannot_paint_the_terminal(set_up: SetUp, format_: Format) -> None:
    stream = set_up(format_)
    try:
        _fail(HOSTILE)
    except ValueError:
        get_logger("x").exception("failed")
    assert _stray(stream.getvalue()) == {"\n"}
    assert "ValueError" in stream.getvalue()


def test_what_is_escaped_in_json_reads_back_as_it_was(set_up: SetUp) -> None:
    stream = set_up()
    get_logger("x").info("Größe 模型", value=HOSTILE)
    (line,) = _lines(stream)
    assert (line["event"], line["value"]) == ("Größe 模型", HOSTILE)
    assert "Größe 模型" in stream.getvalue()


def test_on_a_terminal_people_read_coloured_text(set_up: SetUp) -> None:
    stream = set_up("auto", stream=_Terminal())
    get_logger("x").info("deployed", model="iris")
    assert "\x1b[" in stream.getvalue()
    assert "deployed" in stream.getvalue()


def test_piped_console_output_has_no_colour(set_up: SetUp) -> None:
    stream = set_up("console")
    get_logger("x").info("deployed", model="iris")
    assert "\x1b" not in stream.getvalue()
    assert "model=iris" in stream.getvalue()


def test_piped_output_is_json_by_itself(set_up: SetUp) -> None:
    stream = set_up("auto")
    get_logger("x").info("deployed")
    assert _lines(stream)[0]["event"] == "deployed"


@given(event=st.text(), value=st.text(), number=st.floats())
def test_whatever_is_logged_is_one_line_of_json(event: str, value: str, number: float) -> None:
    stream = io.StringIO()
    set_up_logs(LogSettings(format="json"), Redactor(), stream)
    get_logger("x").warning("%s", event, value=value, number=number)
    (line,) = _lines(stream)
    assert line["level"] == "warning"
