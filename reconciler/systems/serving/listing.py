"""Complete lists, page by page. Nothing that only looks like a list passes for an empty one."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.errors import Transient
from reconciler.systems.serving.api import Api, Call, Json, Key, Resource
from reconciler.systems.serving.reading import mapping, text
from reconciler.systems.serving.translate import key_of

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything there was at one `version`, from which a watch goes on."""

    objects: tuple[Json, ...]
    version: str


def list_all(api: Api, resource: Resource, namespace: str) -> Listing:
    """List completely; raises Transient for an answer that is no list."""
    objects: list[Json] = []
    token = ""
    while True:
        page = api.call(Call("list", resource, namespace, query=_query(resource, token)))
        objects += _items(page, resource)
        meta = mapping(page, "metadata")
        token = text(meta, "continue")
        if not token:
            return Listing(tuple(objects), text(meta, "resourceVersion"))


def confirmed(api: Api, resource: Resource, namespace: str, held: frozenset[Key]) -> Listing:
    """List completely; what is held and not listed must be missing in a second list too, else raises Transient."""
    first = list_all(api, resource, namespace)
    missing = held - _keys(first)
    if not missing:
        return first
    found = missing & _keys(list_all(api, resource, namespace))
    if found:
        place, name = min(found)
        raise Transient(
            f"two lists of {resource.qualified} disagree: {place}/{name} is missing in one and present in the other"
        )
    return first


def _keys(listing: Listing) -> frozenset[Key]:
    return frozenset(key_of(obj) for obj in listing.objects)


def _query(resource: Resource, token: str) -> tuple[tuple[str, str], ...]:
    query = [("limit", str(_PAGE))]
    if resource.selector:
        query.append(("labelSelector", resource.selector))
    if token:
        query.append(("continue", token))
    return tuple(query)


def _items(page: Json, resource: Resource) -> list[Json]:
    items = page.get("items")
    expected = f"{resource.kind}List"
    if page.get("kind") != expected or not isinstance(items, list):
        raise Transient(
            f"the answer is no {expected}: kind is {page.get('kind')!r}, items is {type(items).__name__}",
            help="it is not taken for an empty list; check what stands between us and the API server",
        )
    if not text(mapping(page, "metadata"), "resourceVersion") or not all(key_of(item)[1] for item in items):
        raise Transient(f"the {expected} has no resourceVersion, or objects without a name")
    return items
