"""Say every refusal as the Status object that a Kubernetes API server sends.

ApiError is the only exception that crosses this package; `status()` is its JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.demo.kubeapi.objects import JsonObject


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of status.details.causes."""

    reason: str
    message: str
    field: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What an error is about: a resource (`inferenceservices`), its group and one name."""

    plural: str
    group: str
    kind: str
    name: str

    @property
    def qualified(self) -> str:
        """Return `plural.group`, as messages name a resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class ApiError(Exception):
    """A refusal with its HTTP code and Kubernetes reason."""

    def __init__(self, code: int, reason: str, message: str, details: JsonObject | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> JsonObject:
        """Return the Status object."""
        body: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        return body if self.details is None else {**body, "details": self.details}


def _details(subject: Subject, causes: Sequence[Cause] = ()) -> JsonObject:
    found: dict[str, Any] = {"name": subject.name, "group": subject.group, "kind": subject.plural}
    if causes:
        found["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    return {key: value for key, value in found.items() if value}


def not_found(subject: Subject) -> ApiError:
    """Refuse because the named object does not exist."""
    return ApiError(404, "NotFound", f'{subject.qualified} "{subject.name}" not found', _details(subject))


def no_such_path() -> ApiError:
    """Refuse because the URL names no resource of this server."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def no_such_page() -> ApiError:
    """Refuse because nobody serves the URL's group, version or resource; a real server says it in plain text."""
    return ApiError(404, "", "404 page not found")


def already_exists(subject: Subject) -> ApiError:
    """Refuse to create an object whose name is taken."""
    message = f'{subject.qualified} "{subject.name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(subject))


def conflict(subject: Subject, why: str) -> ApiError:
    """Refuse a write that was prepared against another state of the object."""
    message = f'Operation cannot be fulfilled on {subject.qualified} "{subject.name}": {why}'
    return ApiError(409, "Conflict", message, _details(subject))


def modified(subject: Subject) -> ApiError:
    """Refuse a write whose resourceVersion is no longer the object's."""
    return conflict(
        subject,
        "the object has been modified; please apply your changes to the latest version and try again",
    )


def apply_conflict(message: str, causes: Sequence[Cause]) -> ApiError:
    """Refuse an apply that would change fields of other managers."""
    causes_json = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    return ApiError(409, "Conflict", message, {"causes": causes_json})


def invalid(subject: Subject, causes: Sequence[Cause]) -> ApiError:
    """Refuse an object that breaks its own rules."""
    listed = ", ".join(f"{cause.field}: {cause.message}" for cause in causes)
    said = listed if len(causes) == 1 else f"[{listed}]"
    label = f"{subject.kind}.{subject.group}" if subject.group else subject.kind
    details = {**_details(subject, causes), "kind": subject.kind}
    return ApiError(422, "Invalid", f'{label} "{subject.name}" is invalid: {said}', details)


def bad_request(message: str) -> ApiError:
    """Refuse a request that cannot be understood."""
    return ApiError(400, "BadRequest", message)


def forbidden(message: str) -> ApiError:
    """Refuse a request that is understood and not allowed."""
    return ApiError(403, "Forbidden", message)


def unauthorized() -> ApiError:
    """Refuse a request without the server's token."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiError:
    """Refuse a verb that the resource does not have."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def unsupported_media_type(given: str, accepted: Sequence[str]) -> ApiError:
    """Refuse a body in a format that the resource does not take."""
    message = f"the body of the request was in an unknown format ({given}); accepted: {', '.join(accepted)}"
    return ApiError(415, "UnsupportedMediaType", message)


def expired(message: str) -> ApiError:
    """Refuse to go on from a state that is no longer kept."""
    return ApiError(410, "Expired", message)


def too_large_version(asked: int, current: int) -> ApiError:
    """Refuse a resourceVersion from the future."""
    message = f"Too large resource version: {asked}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})
