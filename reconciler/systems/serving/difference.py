"""Compare a live object with what a dry run of our apply would make of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.systems.serving.api import Json
from reconciler.systems.serving.reading import mapping

_SERVER_SIDE = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_ABSENT = object()

Path = tuple[str | int, ...]


def changed_fields(manifest: Json, live: Json, applied: Json) -> tuple[str, ...]:
    """Return the dotted paths of the fields of ours that applying `manifest` would change or remove.

    `applied` is the dry run's answer. What admission alone would add is not ours, and left out.
    """
    differing = _differences(_without_server_fields(live), _without_server_fields(applied), ())
    return tuple(sorted({_dotted(path) for path, gone in differing if gone or _covers(manifest, path)}))


def _without_server_fields(obj: Json) -> Json:
    meta = {name: value for name, value in mapping(obj, "metadata").items() if name not in _SERVER_SIDE}
    return {**{name: value for name, value in obj.items() if name != "status"}, "metadata": meta}


def _differences(live: Any, applied: Any, path: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each path where the two differ, and whether the apply would take the value away."""
    if isinstance(live, dict) and isinstance(applied, dict):
        for name in [*live, *(n for n in applied if n not in live)]:
            yield from _differences(live.get(name, _ABSENT), applied.get(name, _ABSENT), (*path, name))
    elif isinstance(live, list) and isinstance(applied, list) and len(live) == len(applied):
        for index, (one, other) in enumerate(zip(live, applied, strict=True)):
            yield from _differences(one, other, (*path, index))
    elif live != applied:
        yield path, applied is _ABSENT


def _covers(manifest: Any, path: Path) -> bool:
    """Tell whether the path, or something above or below it, is set by the manifest."""
    for part in path:
        if isinstance(manifest, dict) and manifest:
            if part not in manifest:
                return False
            manifest = manifest[part]
        elif isinstance(manifest, list):
            # Keyed lists may be ordered otherwise in the cluster: the list is ours, that is enough.
            return True
        else:
            break
    return True


def _dotted(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else _name(part) for part in path)
    return text.removeprefix(".")


def _name(part: str) -> str:
    return f".{part}" if part.replace("-", "").replace("_", "").isalnum() else f'["{part}"]'
