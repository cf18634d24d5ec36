"""What an MLflow answer that is no success means. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from reconciler.errors import Conflict, ReconcilerError, Refused, Terminal, Transient, UnknownOutcome
from reconciler.redaction import first_words

# No server may keep us from looking for longer.
LONGEST_PAUSE = 600.0
_LONGEST_SAID = 500
_SECONDS = re.compile(r"[0-9]{1,9}")
ABSENT = "RESOURCE_DOES_NOT_EXIST"


class Absent(Refused):
    """The registry itself says that the thing does not exist."""


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, what: str, lost: type[Transient | UnknownOutcome]
) -> ReconcilerError:
    """Return the error for a status; `lost` is what an answer without a verdict means for this call."""
    code, said = _said(body)
    message = f"{what}: MLflow answered {status}{': ' + said if said else ''}"
    if status in {401, 403}:
        return Terminal(message, help="check mlflow.token, or mlflow.username and mlflow.password, and what it may do")
    # A proxy says 503 also where it lost the answer to what it passed on: for a write that is no promise.
    if status == 429 or (status == 503 and "retry-after" in headers and lost is Transient):
        return Transient(message, help="the server asks for a pause", retry_after=_seconds(headers.get("retry-after")))
    if status >= 500 or status == 408:
        return lost(message, help="see the log of the MLflow server")
    return _refusal(status, code, message)


def _refusal(status: int, code: str, message: str) -> ReconcilerError:
    if status == 404 and code == ABSENT:
        return Absent(message)
    if status == 404 or status < 400:
        return Transient(
            message, help="this was not MLflow's own answer: check mlflow.trackingUri and what is before it"
        )
    if status == 409 or code == "RESOURCE_ALREADY_EXISTS":
        return Conflict(message)
    return Refused(message)


def _said(body: bytes) -> tuple[str, str]:
    """Return MLflow's error code and message; a proxy's page has neither."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(value, dict):
        return "", ""
    return str(value.get("error_code", ""))[:100], first_words(str(value.get("message", "")), _LONGEST_SAID)


def _seconds(header: str | None) -> float | None:
    """Read Retry-After in seconds; a date is ignored, then the backoff decides."""
    found = _SECONDS.fullmatch(header.strip()) if header is not None else None
    return min(float(found[0]), LONGEST_PAUSE) if found else None
