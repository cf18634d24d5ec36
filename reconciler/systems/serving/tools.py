"""Which tool keeps an object as its own source says, read off what such tools write. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.manifest import LEFT_ALONE
from reconciler.systems.serving.api import Json
from reconciler.systems.serving.reading import mapping


@dataclass(frozen=True, slots=True)
class _Tool:
    """A tool; `trackers` are the labels and annotations whose value names what of it tracks an object.

    Whatever else has a key of its `domains` was written by it, or for it. `managers` are its field managers.
    """

    name: str
    domains: frozenset[str]
    managers: frozenset[str]
    trackers: Mapping[str, str] = field(default_factory=dict)


# Flux before Helm, whose marks its releases have too; Config Sync before kpt, whose inventories it uses.
_TOOLS = (
    _Tool(
        "Argo CD",
        frozenset({"argocd.argoproj.io"}),
        frozenset({"argocd-controller", "argocd-application-controller"}),
        {"argocd.argoproj.io/tracking-id": "application", "argocd.argoproj.io/instance": "application"},
    ),
    _Tool(
        "Flux",
        frozenset({"toolkit.fluxcd.io"}),
        frozenset({"kustomize-controller", "helm-controller"}),
        {"kustomize.toolkit.fluxcd.io/name": "Kustomization", "helm.toolkit.fluxcd.io/name": "HelmRelease"},
    ),
    _Tool("Helm", frozenset({"meta.helm.sh"}), frozenset({"helm"}), {"meta.helm.sh/release-name": "release"}),
    _Tool(
        "Fleet",
        frozenset({"fleet.cattle.io", "objectset.rio.cattle.io"}),
        frozenset({"fleetagent", "fleet-agent"}),
    ),
    _Tool(
        "Config Sync",
        frozenset({"configsync.gke.io", "configmanagement.gke.io"}),
        frozenset({"configsync", "configsync.gke.io"}),
    ),
    _Tool("kpt", frozenset({"config.k8s.io"}), frozenset({"kpt"})),
)


def tracker_of(obj: Json) -> str:
    """Name what tracks the object, by the mark that tells it; "" for nothing."""
    marks = _marks(obj)
    found = (_named(tool, word, marks[key]) for tool in _TOOLS for key, word in tool.trackers.items() if key in marks)
    return next(found, "")


def writer_of(obj: Json, managers: Iterable[str]) -> str:
    """Name the tool that left any other mark on the object, or wrote it as one of its field managers; "" for none."""
    domains = [key.rpartition("/")[0] for key in _marks(obj)]
    marked = (tool.name for tool in _TOOLS if any(_below(domain, tool.domains) for domain in domains))
    return next(marked, "") or next(_writing(managers), "")


def _writing(managers: Iterable[str]) -> Iterator[str]:
    for manager in managers:
        for tool in _TOOLS:
            if manager in tool.managers:
                yield f'{tool.name} (field manager "{manager}")'


def _marks(obj: Json) -> dict[str, Any]:
    """Return labels and annotations, without what says that an object is none of Argo CD's business."""
    marks = {**mapping(obj, "metadata", "annotations"), **mapping(obj, "metadata", "labels")}
    return {key: value for key, value in marks.items() if LEFT_ALONE.get(key) != value}


def _named(tool: _Tool, word: str, value: object) -> str:
    # Argo CD's tracking-id goes on with the object that it was given to.
    name = value.partition(":")[0] if isinstance(value, str) else ""
    return f'{tool.name} {word} "{name}"' if name else tool.name


def _below(domain: str, domains: Iterable[str]) -> bool:
    return any(domain == known or domain.endswith(f".{known}") for known in domains)
