"""Bugs that show only between the adapters and what is at the other end of the wire."""

# ruff: noqa: ARG001, ARG005  what is planted keeps the signature of what it replaces

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.errors import UnknownOutcome
from reconciler.registry_writes import Transition
from reconciler.systems.registry import answers, decode, rest, transport
from reconciler.systems.serving import kserve, listing, writing
from tests.simulation.museum.planting import Bug, Patch, Place


def _bare_is_empty(sound: Any) -> Any:
    return lambda page, resource: sound(page, resource) if page else []


def _one_list(_: Any) -> Any:
    return lambda api, resource, namespace, held, translate: listing.list_all(api, resource, namespace, translate)


def _versionless(sound: Any) -> Any:
    def call(key: Any, manifest: Any, uid: str, query: Any) -> Any:
        metadata = {k: v for k, v in manifest["metadata"].items() if k != "resourceVersion"}
        return sound(key, {**manifest, "metadata": metadata}, uid, query)

    return call


def _any_uid(sound: Any) -> Any:
    def delete(api: Any, key: Any, uid: str) -> None:
        sound(api, key, writing.read(api, key)["metadata"]["uid"])

    return delete


def _any_404_is_absence(sound: Any) -> Any:
    def error_of(status: int, headers: Any, body: bytes, what: str, lost: Any) -> Any:
        return answers.Absent(what) if status == 404 else sound(status, headers, body, what, lost)

    return error_of


def _lost_is_done(sound: Any) -> Any:
    def write(self: Any, method: str, path: str, body: Any) -> None:
        try:
            sound(self, method, path, body)
        except UnknownOutcome:
            return

    return write


def _beside_others(sound: Any) -> Any:
    def write(self: Any, name: str, wanted: Any) -> None:
        if not isinstance(wanted, Transition):
            return sound(self, name, wanted)  # type: ignore[no-any-return]  # None, as the sound one's
        body = {"name": name, "version": str(wanted.version), "stage": wanted.stage.value}
        return self._transport.write(  # type: ignore[no-any-return]  # None too
            "POST", "model-versions/transition-stage", {**body, "archive_existing_versions": False}
        )

    return write


BUGS = tuple(
    replace(bug, place=Place.KUBERNETES)
    for bug in (
        Bug("empty-answer-is-an-empty-list", "A `{}` with 200 is taken for a list of nothing.",
            "removal I1 I2 I3 I4 liveness",
            (Patch(listing, "listed", _bare_is_empty), Patch(listing, "confirmed", _one_list))),
        Bug("one-list-is-believed", "What one list leaves out is taken for deleted.", "removal I1 I2 I3 I4 liveness",
            (Patch(listing, "confirmed", _one_list),)),
        Bug("applied-without-version", "A write does not say for which state of the object it is meant.",
            "I2 I3 I7 liveness", (Patch(writing, "_apply_call", _versionless),)),
        Bug("deleted-without-uid", "What is deleted is whatever has the name by now.", "I2 I4",
            (Patch(writing, "delete", _any_uid),)),
        Bug("write-not-awaited", "A write is over before the watch has shown it.", "I1 I2 I3 I7 liveness",
            (Patch(kserve, "_shows", lambda _: lambda entry, uid, version: True),
             Patch(kserve, "_is_gone", lambda _: lambda entry, uid: True))),
    )
) + tuple(
    replace(bug, place=Place.REGISTRY)
    for bug in (
        Bug("empty-registry-believed", "A `{}` with 200 is taken for a registry without models.", "I5 I3 removal",
            (Patch(decode, "models_of", lambda sound: lambda answer: sound(answer) if answer else []),
             Patch(decode, "versions_of", lambda sound: lambda answer: sound(answer) if answer else []),
             Patch(rest.MlflowRegistry, "_settle", lambda _: lambda self, models, doubtful: None))),
        Bug("truncated-page-believed", "What a page leaves out is taken for gone.", "I1 I3 I5 removal",
            (Patch(rest.MlflowRegistry, "_settle", lambda _: lambda self, models, doubtful: None),
             Patch(decode, "merge", lambda sound: lambda models, versions: (sound(models, versions)[0], set())))),
        Bug("any-404-is-absence", "A 404 of a proxy is taken for the registry's own.", "I5 I3 removal",
            (Patch(answers, "error_of", _any_404_is_absence),)),
        Bug("lost-answer-is-success", "A write whose answer is lost is believed to be done.",
            "I1 I2 I3 I7 removal liveness", (Patch(transport.Transport, "write", _lost_is_done),)),
        Bug("two-in-production", "The stage is set without archiving who has it.", "I1",
            (Patch(rest.MlflowRegistry, "_write", _beside_others),)),
    )
)  # fmt: skip
