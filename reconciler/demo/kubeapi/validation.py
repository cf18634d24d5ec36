"""Check what a request brings before anything is done with it."""

import re
from collections.abc import Iterator
from typing import Any

from reconciler.demo.kubeapi.admission import AdmissionDeniedError, AdmissionRequest
from reconciler.demo.kubeapi.errors import Cause, bad_request, invalid
from reconciler.demo.kubeapi.objects import JsonObject, metadata, name_of, namespace_of
from reconciler.demo.kubeapi.resources import NAMESPACES, ResourceType

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_INFERENCE_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def identified(obj: Any, resource: ResourceType, namespace: str, name: str) -> JsonObject:
    """Return the body if it is an object of this kind and agrees with the URL; raise 400 otherwise.

    A built-in resource may leave out its kind, as the typed clients do.
    """
    if not isinstance(obj, dict):
        raise bad_request(f"the body must be a JSON object, found {type(obj).__name__}")
    body: JsonObject = dict(obj)
    if not resource.custom:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
    _check_text(body, resource)
    given = (body.get("apiVersion"), body.get("kind"))
    if resource.custom and given[0] == resource.api_version and given[1] not in (None, resource.kind):
        message = f'Invalid value: "{given[1]}": must be {resource.kind}'
        raise invalid(resource.subject(name_of(body)), [Cause("FieldValueInvalid", message, "kind")])
    if given != (resource.api_version, resource.kind):
        expected = f"{resource.api_version}, Kind={resource.kind}"
        raise bad_request(f"the body is {given[0]}, Kind={given[1]}; this URL takes {expected}")
    if namespace_of(obj) not in ("", namespace):
        raise bad_request(
            f"the namespace of the provided object ({namespace_of(obj)}) does not match"
            f" the namespace sent on the request ({namespace})"
        )
    if name and name_of(obj) not in ("", name):
        raise bad_request(f"the name of the object ({name_of(obj)}) does not match the name on the URL ({name})")
    return body


def _check_text(body: JsonObject, resource: ResourceType) -> None:
    """Raise 400 for metadata that is no object, and for labels and annotations that are no text."""
    meta = body.get("metadata") or {}
    unreadable = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
    if not isinstance(meta, dict):
        raise bad_request(unreadable + f"json: cannot unmarshal {type(meta).__name__} into ObjectMeta")
    for part in ("labels", "annotations"):
        for value in (meta.get(part) or {}).values():
            # null removes one in a patch.
            if value is not None and not isinstance(value, str):
                kind = "number" if isinstance(value, int | float) else type(value).__name__
                field = f"ObjectMeta.{part} of type string"
                raise bad_request(unreadable + f"json: cannot unmarshal {kind} into Go struct field {field}")


def check_object(obj: JsonObject, resource: ResourceType) -> None:
    """Raise 422 with every broken rule: name, labels, required fields."""
    causes = [*_name_causes(obj, resource), *_label_causes(obj), *_missing_causes(obj, resource)]
    if causes:
        raise invalid(resource.subject(name_of(obj)), causes)


def _name_causes(obj: JsonObject, resource: ResourceType) -> Iterator[Cause]:
    name = name_of(obj)
    limit = 63 if resource is NAMESPACES else 253
    if not name:
        yield Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")
    elif len(name) > limit or not _SUBDOMAIN.fullmatch(name):
        message = (
            f'Invalid value: "{name}": expected at most {limit} lower case letters, digits, "-" and ".",'
            " beginning and ending with a letter or digit"
        )
        yield Cause("FieldValueInvalid", message, "metadata.name")


def _label_causes(obj: JsonObject) -> Iterator[Cause]:
    for key, value in (metadata(obj).get("labels") or {}).items():
        name = key.rpartition("/")[2]
        good = len(value) <= 63 and _LABEL_VALUE.fullmatch(value)
        if not good or len(name) > 63 or not _LABEL_NAME.fullmatch(name):
            message = f'Invalid value: "{key}={value}": expected text of at most 63 letters, digits, "-", "_", "."'
            yield Cause("FieldValueInvalid", message, "metadata.labels")


def _missing_causes(obj: JsonObject, resource: ResourceType) -> Iterator[Cause]:
    for path in resource.must_have:
        parent: Any = obj
        for name in path[:-1]:
            parent = parent.get(name) if isinstance(parent, dict) else None
        if isinstance(parent, dict) and path[-1] not in parent:
            yield Cause("FieldValueRequired", "Required value", ".".join(path))


def check_inference_service_name(request: AdmissionRequest) -> None:
    """Deny InferenceService names that KServe's webhook denies."""
    name = name_of(request.obj)
    if request.operation == "CREATE" and not _INFERENCE_SERVICE.fullmatch(name):
        raise AdmissionDeniedError(
            "inferenceservice.kserve-webhook-server.validator",
            f'the InferenceService "{name}" is invalid: its name may hold lower case letters, digits and "-",'
            f" begins with a letter and ends with a letter or digit (regex {_INFERENCE_SERVICE.pattern!r})",
        )
