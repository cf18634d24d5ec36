"""Objects of one kind in the Kubernetes API, with the real client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from reconciler.demo.kserve.names import Json

_MANAGER = "kserve-controller"


class Unavailable(Exception):  # noqa: N818  names the state of the API server
    """The API server did not answer; the same call may work later."""


class Changed(Exception):  # noqa: N818  names what happened
    """The object was changed or removed since it was read; look again."""


class Objects:
    """What KServe does with objects of one namespaced kind; `root` is as `/apis/apps/v1`."""

    def __init__(self, api_client: ApiClient, root: str, plural: str) -> None:
        self._client = api_client
        self._root = root
        self._plural = plural

    def served(self) -> bool:
        """Tell whether the API server has this kind."""
        try:
            found = self._call("GET", self._root)
        except Changed:
            return False
        return any(resource["name"] == self._plural for resource in found["resources"])

    def get(self, namespace: str, name: str) -> Json | None:
        """Read one object."""
        try:
            return self._call("GET", self._path(namespace, name))
        except Changed:
            return None

    def labelled(self, namespace: str, selector: str) -> list[Json]:
        """List the objects with these labels."""
        items: list[Json] = self._call("GET", self._path(namespace), [("labelSelector", selector)])["items"]
        return items

    def create(self, obj: Json) -> Json:
        """Create an object."""
        return self._call("POST", self._path(obj["metadata"]["namespace"]), body=obj)

    def replace(self, obj: Json) -> Json:
        """Replace the object as it was read."""
        return self._call("PUT", self._path_of(obj), body=obj)

    def write_status(self, obj: Json, status: Json) -> Json:
        """Replace the status of the object as it was read."""
        return self._call("PUT", f"{self._path_of(obj)}/status", body={**obj, "status": status})

    def merge(self, obj: Json, patch: Json) -> Json:
        """Change fields of the object by a merge patch."""
        return self._call("PATCH", self._path_of(obj), body=patch)

    def delete(self, namespace: str, name: str) -> None:
        """Delete an object, if it is still there."""
        try:
            self._call("DELETE", self._path(namespace, name))
        except Changed:
            return

    def _path_of(self, obj: Json) -> str:
        return self._path(obj["metadata"]["namespace"], obj["metadata"]["name"])

    def _path(self, namespace: str, name: str = "") -> str:
        return f"{self._root}/namespaces/{namespace}/{self._plural}" + (f"/{name}" if name else "")

    def _call(self, method: str, path: str, query: list[tuple[str, str]] | None = None, body: Any = None) -> Json:
        media_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
        with answers():
            found: Json = self._client.call_api(
                path,
                method,
                query_params=[*(query or ()), *([("fieldManager", _MANAGER)] if body else ())],
                header_params={"Accept": "application/json", "Content-Type": media_type},
                body=body,
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
            )
        return found


@contextmanager
def answers() -> Iterator[None]:
    """Turn what the client raises into Changed and Unavailable."""
    try:
        yield
    except ApiException as error:
        if error.status in (404, 409, 410):
            raise Changed(f"{error.status} {error.reason}") from error
        raise Unavailable(f"{error.status} {error.reason}: {error.body}") from error
    except (HTTPError, OSError, ValueError) as error:  # ValueError: urllib3 on a closed response
        raise Unavailable(repr(error)) from error
