"""Logs of the service: JSON lines for machines, coloured text on a terminal. Home of structlog.

Every record takes the same way, those of libraries too: context, level, time, traceback, redaction, escaping, text.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

import structlog

from reconciler.redaction import Redactor
from reconciler.settings import LogSettings

_Event = MutableMapping[str, Any]

# Control characters, bidirectional overrides, line separators and lone surrogates: they could forge a line, repaint a
# terminal, show a text in another order, or make it impossible to write.
_UNSAFE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\ud800-\udfff"
)
_UNSAFE_IN_TEXT = re.compile(f"[{_UNSAFE}]")
_UNSAFE_IN_LINE = re.compile(f"[{_UNSAFE}\t\n]")

# What these say below the level given is of use to their own developers only, or repeats what we say.
_LIBRARIES = {
    "alembic": logging.WARNING,
    "apscheduler": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "kfp_server_api": logging.INFO,  # at debug it writes whole bodies
    "kubernetes": logging.INFO,  # as above
    "urllib3": logging.WARNING,
    "uvicorn": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "uvicorn.access": logging.WARNING,
}


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; it may be asked for before the logs are set up."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


@contextmanager
def bound(**context: str) -> Iterator[None]:
    """Add context, such as model and action, to everything that this thread logs inside."""
    with structlog.contextvars.bound_contextvars(**context):
        yield


def set_up_logs(settings: LogSettings, redactor: Redactor, stream: TextIO) -> None:
    """Send all logs of the process to `stream`, uncaught exceptions and warnings too."""
    on_terminal = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                _Redaction(redactor),
                *(_for_a_terminal(stream) if on_terminal else (_as_json_line,)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for library, level in _LIBRARIES.items():
        logging.getLogger(library).setLevel(max(level, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


class _Redaction:
    """Takes secrets out of a record, after tracebacks were written out."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, _logger: object, _method: str, event: _Event) -> Mapping[str, Any]:
        redacted = self._redactor.redact(event)
        assert isinstance(redacted, dict)  # noqa: S101  tells the type: an object stays an object
        return redacted


def _for_a_terminal(stream: TextIO) -> tuple[structlog.typing.Processor, ...]:
    return _escape_values, structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="ts")


def _as_json_line(_logger: object, _method: str, event: _Event) -> str:
    first = {key: event.pop(key) for key in ("ts", "level", "event") if key in event}
    line = json.dumps({**first, **event}, ensure_ascii=False)
    # What json leaves as it is can be written as its escape: the value read back is the same.
    return _UNSAFE_IN_TEXT.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _escape_values(_logger: object, _method: str, event: _Event) -> _Event:
    return {
        _escape(key): _escape_trace(value) if key in {"exception", "stack"} else _escape_value(value)
        for key, value in event.items()
    }


def _escape_value(value: object) -> object:
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, dict | list):
        return _escape(json.dumps(value, ensure_ascii=False))
    return value


def _escape(text: str) -> str:
    return _UNSAFE_IN_LINE.sub(_visible, text)


def _escape_trace(text: object) -> str:
    return _UNSAFE_IN_TEXT.sub(_visible, str(text))


def _visible(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    get_logger(__name__).critical("the process ends with an error", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(hook: threading.ExceptHookArgs) -> None:
    if hook.exc_value is not None and not isinstance(hook.exc_value, SystemExit):
        get_logger(__name__).critical(
            "a thread ends with an error",
            thread=hook.thread.name if hook.thread else "",
            exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback),
        )
