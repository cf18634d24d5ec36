"""Let registered functions change or refuse objects, as a cluster's webhooks do.

They run inside the server, one request at a time: they must be quick and must not call the API.
A status write does not pass here, as webhooks are not asked about it either.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from reconciler.demo.kubeapi.errors import forbidden
from reconciler.demo.kubeapi.objects import JsonObject, deep_copy
from reconciler.demo.kubeapi.resources import ResourceType


class AdmissionDeniedError(Exception):
    """What a hook raises to refuse an object: who refuses, and why."""

    def __init__(self, webhook: str, message: str) -> None:
        super().__init__(f'admission webhook "{webhook}" denied the request: {message}')


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """The write that a hook is asked about; `obj` is the hook's own copy."""

    operation: Literal["CREATE", "UPDATE", "DELETE"]
    resource: ResourceType
    obj: JsonObject
    old: JsonObject | None
    dry_run: bool


Mutate = Callable[[AdmissionRequest], JsonObject]
Validate = Callable[[AdmissionRequest], None]


class Admission:
    """The hooks of each resource, by its `plural.group` name, in the order of registration."""

    def __init__(self) -> None:
        self._mutating: dict[str, list[Mutate]] = {}
        self._validating: dict[str, list[Validate]] = {}

    def mutating(self, resource: str, hook: Mutate) -> None:
        """Have the hook return the object to store on each create and update."""
        self._mutating.setdefault(resource, []).append(hook)

    def validating(self, resource: str, hook: Validate) -> None:
        """Have the hook raise AdmissionDeniedError for what must not be stored or deleted."""
        self._validating.setdefault(resource, []).append(hook)

    def mutate(self, request: AdmissionRequest) -> JsonObject:
        """Return the object as the hooks want it; raise ApiError 403 when one denies it."""
        with _denials_as_403():
            for hook in self._mutating.get(request.resource.qualified, ()):
                request = replace(request, obj=hook(replace(request, obj=deep_copy(request.obj))))
        return request.obj

    def validate(self, request: AdmissionRequest) -> None:
        """Raise ApiError 403 when a hook denies the request."""
        with _denials_as_403():
            for check in self._validating.get(request.resource.qualified, ()):
                check(replace(request, obj=deep_copy(request.obj)))


@contextmanager
def _denials_as_403() -> Iterator[None]:
    try:
        yield
    except AdmissionDeniedError as denied:
        raise forbidden(str(denied)) from denied
