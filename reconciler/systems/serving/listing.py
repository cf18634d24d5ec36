"""Complete lists, page by page. Nothing that only looks like a list passes for an empty one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from reconciler.errors import Transient
from reconciler.systems.serving.answers import Expired, NotFound
from reconciler.systems.serving.api import Api, Call, Json, Key, Resource
from reconciler.systems.serving.reading import mapping, text
from reconciler.systems.serving.translate import key_of

T = TypeVar("T")
Query = tuple[tuple[str, str], ...]
_PAGED: Query = (("limit", "500"),)
# Half a million objects; a server that never comes to an end is not believed.
_MOST_PAGES = 1_000


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Everything there was at one `version`, from which a watch goes on, as it was translated."""

    found: tuple[T, ...]
    keys: frozenset[Key]
    version: str


def list_all(api: Api, resource: Resource, namespace: str, translate: Callable[[Json], T]) -> Listing[T]:
    """List completely; raises Transient for an answer that is no list.

    Each page is translated before the next one is asked for: all of the JSON at once would be the largest thing that
    this process ever holds. Only where pages expire faster than they are read, everything is asked for at once.
    """
    try:
        return _listed(api, resource, namespace, translate, _PAGED)
    except Expired:
        return _listed(api, resource, namespace, translate, ())


def _listed(api: Api, resource: Resource, namespace: str, translate: Callable[[Json], T], limit: Query) -> Listing[T]:
    found: list[T] = []
    keys: set[Key] = set()
    token = ""
    for _ in range(_MOST_PAGES):
        page = api.call(Call("list", resource, namespace, query=_query(resource, limit, token)))
        for obj in listed(page, resource):
            found.append(translate(obj))
            keys.add(key_of(obj))
        meta = mapping(page, "metadata")
        before, token = token, text(meta, "continue")
        if token and token == before:
            raise Transient(f"listing {resource.qualified}: the API answers the same page again")
        if not token:
            return Listing(tuple(found), frozenset(keys), text(meta, "resourceVersion"))
    raise Transient(f"listing {resource.qualified}: no end after {_MOST_PAGES} pages")


def confirmed(
    api: Api, resource: Resource, namespace: str, held: frozenset[Key], translate: Callable[[Json], T]
) -> Listing[T]:
    """List completely; what is held and not listed must be missing in a second list too, else raises Transient.

    Two lists of one server that lags agree as well: what we may read by its name must be missing by its name too.
    """
    first = list_all(api, resource, namespace, translate)
    missing = held - first.keys
    if not missing:
        return first
    found = missing & list_all(api, resource, namespace, key_of).keys
    if found:
        place, name = min(found)
        raise Transient(
            f"two lists of {resource.qualified} disagree: {place}/{name} is missing in one and present in the other"
        )
    if resource.by_name:
        for key in sorted(missing):
            _check_gone(api, resource, key)
    return first


def _check_gone(api: Api, resource: Resource, key: Key) -> None:
    """Raise Transient unless the API server itself says that the object does not exist."""
    try:
        api.call(Call("get", resource, *key))
    except NotFound:
        return
    raise Transient(f"the lists of {resource.qualified} lag: {key[0]}/{key[1]} is missing in them, and is there")


def _query(resource: Resource, limit: Query, token: str) -> Query:
    query = [*limit]
    if resource.selector:
        query.append(("labelSelector", resource.selector))
    if token:
        query.append(("continue", token))
    return tuple(query)


def listed(page: Json, resource: Resource) -> list[Json]:
    """Return the objects of a page; raises Transient for what only looks like one."""
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
