"""Turn refusals of a Kubernetes API into the reconciler's errors. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reconciler.errors import Conflict, ReconcilerError, Refused, Terminal, Transient, UnknownOutcome
from reconciler.observed import MANAGER
from reconciler.redaction import first_words
from reconciler.systems.serving.api import APPLY, Call, Json
from reconciler.systems.serving.reading import items, mapping, number

# No server may keep us from looking for longer.
LONGEST_PAUSE = 600.0
_LONGEST_SAID = 1_000
_SECONDS = re.compile(r"[0-9]{1,9}")
_UNDECLARED = re.compile(r"failed to create typed patch object .*: \.(\S+): field not declared in schema")
_FIELD_MANAGER = re.compile(r'conflict with ("[^"]*"(?: with subresource "[^"]*")?)')


class NotFound(Terminal):
    """The object does not exist: the API server itself says so."""


class NotServed(Terminal):
    """The API server does not know this kind of object."""


class Unauthenticated(Transient):
    """The API does not accept our credentials; nothing was done. Most are renewed by others, sooner or later."""


class AlreadyExists(Conflict):
    """The name was taken when we wanted to create it."""


class NoSuchField(Refused):
    """The definition of the object does not name a field that we apply; nothing was changed."""


class FieldsHeld(Conflict):
    """An apply would change `fields` that other managers hold; nothing was changed."""

    def __init__(self, message: str, *, help: str, fields: tuple[str, ...]) -> None:  # noqa: A002  the word that users see
        super().__init__(message, help=help)
        self.fields = fields


class Expired(Transient):
    """The list or watch cannot go on from where it was: list again."""


def refusal(  # noqa: PLR0911  one return a code reads as the table that it is
    call: Call, code: int, body: object, headers: Mapping[str, str]
) -> ReconcilerError:
    """Return the error that stands for an answer other than 2xx."""
    status: Json = body if isinstance(body, dict) else {}
    said = first_words(str(status.get("message") or f"HTTP {code}"), _LONGEST_SAID)
    match code:
        case 401:
            return Unauthenticated(
                f"the Kubernetes API does not know us ({call.about}): {said}",
                help="renew the credentials in the kubeconfig, or check the service account's token",
            )
        case 403:
            return _forbidden(call, said)
        case 404:
            return _not_found(call, status, said)
        case 409:
            return _conflict(call, status, said)
        case 410:
            return Expired(f"{call.about}: {said}")
        case 429:
            return Transient(
                f"the Kubernetes API asks to wait ({call.about}): {said}", retry_after=_wait(headers, status)
            )
        case 503 if not call.writes:
            return Transient(
                f"the Kubernetes API is not available ({call.about}): {said}", retry_after=_wait(headers, status)
            )
        case 422 if _cause(status, "metadata.uid"):
            return Conflict(f"{call.about} was deleted and made anew meanwhile: {said}")
        case _ if code >= 500 or code == 408:
            return _failed(call, code, said)
        case _:
            return Refused(f"the Kubernetes API refuses {call.about}: {said}", help=_refused_help(said))


def _failed(call: Call, code: int, said: str) -> ReconcilerError:
    """Tell an apply of a field that no schema names, which changes nothing, from a server that failed."""
    if call.media_type == APPLY and (field := _UNDECLARED.search(said)):
        return NoSuchField(
            f"{call.about}: this cluster's definition of {call.resource.qualified} has no {field[1]}",
            help="update KServe and its definitions, or leave that field out of the spec in Git",
        )
    return lost(call, f"the Kubernetes API failed ({code}): {said}")


def lost(call: Call, why: str, advice: str = "") -> ReconcilerError:
    """Return the error for an answer that did not come: for a write nobody knows whether it was applied."""
    if call.writes:
        return UnknownOutcome(f"{call.verb} of {call.about} may or may not have been applied: {why}", help=advice)
    return Transient(f"cannot {call.verb} {call.about}: {why}", help=advice)


def _forbidden(call: Call, said: str) -> ReconcilerError:
    if "cannot " in said and "in API group" in said:
        group = call.resource.group or '""'
        return Terminal(
            f"not allowed to {call.verb} {call.about}: {said}",
            help=f'grant the verb "{call.verb}" on {call.resource.plural} in API group {group}'
            + (f" in namespace {call.namespace}" if call.namespace else " for all namespaces"),
        )
    if "being terminated" in said:
        return Refused(
            f"namespace {call.namespace} is being deleted: {said}", help="serve the model from another namespace"
        )
    return Refused(f"the cluster does not admit {call.about}: {said}", help=_refused_help(said))


def _refused_help(said: str) -> str:
    if "admission webhook" in said:
        return "change the spec in Git as the webhook asks"
    if "quota" in said:
        return "ask for less in the spec, or for a larger quota"
    return "change the spec in Git as the message asks"


def _not_found(call: Call, status: Json, said: str) -> ReconcilerError:
    if status.get("kind") != "Status":
        return _unspoken(call)
    details = mapping(status, "details")
    if details.get("kind") == "namespaces" or said.startswith("namespaces "):
        return Refused(
            f"namespace {call.namespace} does not exist, so {call.about} cannot be made",
            help=f"create it (kubectl create namespace {call.namespace}), or name another in spec.serving.namespace",
        )
    if call.name and details.get("name"):
        return NotFound(f"{call.about} does not exist")
    return NotServed(
        f"the cluster does not serve {call.resource.qualified} ({call.resource.version}): {said}", help=_NO_KSERVE
    )


_NO_KSERVE = "install KServe, or check which cluster the kubeconfig names"


def _unspoken(call: Call) -> ReconcilerError:
    """Return the error for a 404 that is no Status: of a group that is not there, or of a proxy."""
    why = f"HTTP 404 without a Status: nothing serves {call.resource.qualified} there, or a proxy answers"
    return lost(call, why, f"{_NO_KSERVE}; check what stands between us and the API server")


def _conflict(call: Call, status: Json, said: str) -> ReconcilerError:
    if status.get("reason") == "AlreadyExists":
        return AlreadyExists(f"{call.about} exists already, and was not there a moment ago")
    causes = [c for c in _causes(status) if c.get("reason") == "FieldManagerConflict"]
    if not causes:
        return Conflict(f"{call.about} changed since it was read: {said}", help="it is observed again and decided anew")
    held = ", ".join(f"{c.get('field')} ({_manager(c)})" for c in causes)
    others = ", ".join(sorted({_manager(c) for c in causes}))
    return FieldsHeld(
        f'"{MANAGER}" does not overwrite fields of {call.about} that are held by {others}: {held}',
        help=f"leave these fields out of the spec in Git, or have {others} give them up",
        fields=tuple(str(c.get("field")) for c in causes),
    )


def _manager(cause: Mapping[str, Any]) -> str:
    said = str(cause.get("message", ""))
    found = _FIELD_MANAGER.search(said)
    return found.group(1) if found else said


def _causes(status: Json) -> list[Json]:
    return items(status, "details", "causes")


def _cause(status: Json, field: str) -> bool:
    return any(cause.get("field") == field for cause in _causes(status))


def _wait(headers: Mapping[str, str], status: Json) -> float | None:
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    if found := _SECONDS.fullmatch(text):
        return min(float(found[0]), LONGEST_PAUSE)
    seconds = number(mapping(status, "details"), "retryAfterSeconds")
    return float(min(seconds, int(LONGEST_PAUSE))) if seconds and seconds > 0 else None
