"""The writes: create what is absent, apply onto what is ours, delete that very object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.breakpoints import reached
from reconciler.errors import Conflict, Transient, UnknownOutcome
from reconciler.observed import LABEL_RELEASE, MANAGER, InferenceService, Release
from reconciler.systems.serving.answers import AlreadyExists, FieldsHeld, NoSuchField, NotFound
from reconciler.systems.serving.api import APPLY, HTTP_ROUTES, INFERENCE_SERVICES, JSON_PATCH, Api, Call, Json, Key
from reconciler.systems.serving.cache import Entry
from reconciler.systems.serving.ownership import adopted, given_up, is_ours, needs_adoption, owner_of
from reconciler.systems.serving.reading import items, mapping, number, text
from reconciler.systems.serving.standard import Route, route

_MANAGER = ("fieldManager", MANAGER)
_ATTEMPTS = 4
_SHARE = "canaryTrafficPercent"
_ANEW = "it is observed again and decided anew"


class NoCanaries(Conflict):
    """KServe keeps no canary in Standard mode: what was decided counted on one, and is decided anew."""


def write(api: Api, key: Key, manifest: Mapping[str, Any], entry: Entry | None) -> Json:
    """Create or apply, depending on what the cache holds, and return the object as it is now."""
    if entry is None:
        _check_unclaimed(key, manifest)
        return _created(api, key, manifest)
    service = entry.service
    manifest = _prepared(api, key, manifest, entry)
    try:
        return _applied(api, key, manifest, service.uid, ())
    except FieldsHeld as held:
        if not _only_cuts_traffic(manifest, service, held):
            raise
        return _answer(api, _cut_call(key, manifest, service.uid))


def take_over(api: Api, key: Key, manifest: Mapping[str, Any], entry: Entry | None) -> Json:
    """Apply by force onto what is ours, and return the object as it is now."""
    if entry is None:
        raise Conflict(f"InferenceService {key[0]}/{key[1]} does not exist any more", help=_ANEW)
    manifest = _prepared(api, key, manifest, entry)
    return _applied(api, key, manifest, entry.service.uid, (("force", "true"),))


def adopt(api: Api, key: Key, manifest: Mapping[str, Any], entry: Entry | None) -> Json:
    """Make ours what nobody tracks: others give up the fields that we apply next; no value of theirs changes by that.

    Between the two writes the object is nobody's, and is adopted anew.
    """
    if entry is None or entry.service.uid != manifest["metadata"].get("uid"):
        raise Conflict(f"InferenceService {key[0]}/{key[1]} does not exist any more", help=_ANEW)
    service = entry.service
    if service.tracked or service.deleting or service.ours:
        raise _foreign(key, service.owner)
    live = read(api, key)
    version = text(mapping(live, "metadata"), "resourceVersion")
    if (text(mapping(live, "metadata"), "uid"), version) != (service.uid, manifest["metadata"]["resourceVersion"]):
        raise Conflict(f"InferenceService {key[0]}/{key[1]} changed since it was looked at", help=_ANEW)
    freed = _answer(api, _ownership(key, version, given_up(live, manifest)))
    after = text(mapping(freed, "metadata"), "resourceVersion")
    return _answer(api, _apply_call(key, _moved_on(manifest, version, after), service.uid, ()))


def _applied(api: Api, key: Key, manifest: Mapping[str, Any], uid: str, query: tuple[tuple[str, str], ...]) -> Json:
    """Apply; raises NoCanaries where the cluster did not keep the canary, as KServe before v0.20.0 has none."""
    try:
        answer = _answer(api, _apply_call(key, manifest, uid, query))
    except NoSuchField as refused:
        if not items(dict(manifest), "spec", "canary"):
            raise
        raise _no_canaries(key) from refused
    # Its webhook, which knows no such field, drops it without a word where the definition takes everything.
    if items(dict(manifest), "spec", "canary") and not items(answer, "spec", "canary"):
        raise _no_canaries(key)
    return answer


def _no_canaries(key: Key) -> NoCanaries:
    return NoCanaries(
        f"InferenceService {key[0]}/{key[1]}: this KServe has no spec.canary, without which nothing is rolled out",
        help="update KServe and its definitions: spec.canary is there from v0.20.0 on",
    )


def _prepared(api: Api, key: Key, manifest: Mapping[str, Any], entry: Entry) -> Mapping[str, Any]:
    """Check that the object is ours to apply to, and return the manifest as it is to be applied."""
    service = entry.service
    if service.deleting:
        raise Transient(f"InferenceService {key[0]}/{key[1]} is being deleted; it is made anew once it is gone")
    if not service.ours:
        raise _foreign(key, service.owner)
    return _moved_on(manifest, *_adopt(api, key, service.uid)) if entry.adopt else manifest


def _check_unclaimed(key: Key, manifest: Mapping[str, Any]) -> None:
    """Refuse to make anew what was meant for an object that has gone."""
    if "uid" in manifest["metadata"]:
        raise Conflict(f"InferenceService {key[0]}/{key[1]} does not exist any more", help=_ANEW)


def _only_cuts_traffic(manifest: Mapping[str, Any], live: InferenceService, held: FieldsHeld) -> bool:
    """Tell whether the live release is to get no traffic any more; then the share itself must not be another's."""
    candidate, percent = _candidate(manifest)
    same = Release.parse(text(mapping(candidate, "labels"), LABEL_RELEASE)) == live.release
    cuts = percent == 0 and live.canary_percent != 0
    return same and cuts and not any(field.endswith((f".{_SHARE}", ".canary")) for field in held.fields)


def _candidate(manifest: Mapping[str, Any]) -> tuple[Json, int | None]:
    """Return the predictor that is the candidate, and its share; None where there is no split."""
    canary = next(iter(items(dict(manifest), "spec", "canary")), None)
    if canary is not None:
        return mapping(canary, "predictor"), number(canary, "trafficPercent")
    predictor = mapping(dict(manifest), "spec", "predictor")
    return predictor, number(predictor, _SHARE)


def _cut_call(key: Key, manifest: Mapping[str, Any], uid: str) -> Call:
    """Take away the traffic alone: a field that somebody holds elsewhere must not keep callers on a bad candidate."""
    body: list[Json] = [{"op": "replace", "path": "/metadata/uid", "value": uid}]
    if version := manifest["metadata"].get("resourceVersion"):
        body.append({"op": "replace", "path": "/metadata/resourceVersion", "value": version})
    if items(dict(manifest), "spec", "canary"):
        name = text(_candidate(manifest)[0], "name")
        body.append({"op": "test", "path": "/spec/canary/0/predictor/name", "value": name})
        body.append({"op": "replace", "path": "/spec/canary/0/trafficPercent", "value": 0})
    else:
        body.append({"op": "add", "path": f"/spec/predictor/{_SHARE}", "value": 0})
    return Call("patch", INFERENCE_SERVICES, *key, query=(_MANAGER,), body=body, media_type=JSON_PATCH)


def _moved_on(manifest: Mapping[str, Any], before: str, after: str) -> Mapping[str, Any]:
    """Let a write that is meant for the object before our own adoption be meant for the one after it."""
    if manifest["metadata"].get("resourceVersion") != before:
        return manifest
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": after}}


def dry_run(api: Api, key: Key, manifest: Mapping[str, Any], uid: str) -> Json:
    """Return what our apply would make of the object; nothing is stored.

    It is forced: a field that somebody else took is drift too, and shows its value instead of a conflict. The apply
    itself never is.
    """
    return _answer(api, _apply_call(key, manifest, uid, (("dryRun", "All"), ("force", "true"))))


def read(api: Api, key: Key) -> Json:
    """Return the object as it is now; raises Conflict when it has gone."""
    try:
        return _answer(api, Call("get", INFERENCE_SERVICES, *key))
    except NotFound as error:
        raise Conflict(f"{error.message} any more", help=_ANEW) from error


def confirm_unrouted(api: Api, key: Key) -> None:
    """Raise Transient where there is an HTTPRoute that the watch has yet to show: somebody may get callers by it."""
    if _routes(api, key) != []:
        raise Transient(f"whether an HTTPRoute leads to {key[0]}/{key[1]} is not known: the watch has yet to show it")


def confirm_left(api: Api, key: Key, canary: str) -> None:
    """Raise Transient where callers are still sent to a canary that is to go: the watch may be behind the route."""
    routes = _routes(api, key)
    if routes is None or any(told.shares is None or dict(told.shares).get(canary) for told in routes):
        raise Transient(
            f"whether callers of {key[0]}/{key[1]} are still sent to {canary} is not known: it stays until then"
        )


def _routes(api: Api, key: Key) -> list[Route] | None:
    """Return the HTTPRoutes that lead to a service, as the API has them now; None where it answers something else."""
    query = (("fieldSelector", f"metadata.name={key[1]}"),)
    found = api.call(Call("list", HTTP_ROUTES, key[0], query=query))
    if found.get("kind") != f"{HTTP_ROUTES.kind}List":
        return None
    return [told for obj in items(found, "items") if (told := route(obj)) is not None]


def delete(api: Api, key: Key, uid: str) -> None:
    """Delete the object with this uid; absent already is success."""
    try:
        api.call(Call("delete", INFERENCE_SERVICES, *key, body={"preconditions": {"uid": uid}}))
        reached("wrote delete")
    except NotFound:
        return


def _created(api: Api, key: Key, manifest: Mapping[str, Any]) -> Json:
    """Create; a create fails where an apply would silently take over what somebody else has just made."""
    query = (_MANAGER, ("fieldValidation", "Strict"))
    try:
        return _answer(api, Call("create", INFERENCE_SERVICES, *key, query=query, body=dict(manifest)))
    except AlreadyExists as error:
        live = read(api, key)
        if is_ours(live):
            raise Transient(
                f"InferenceService {key[0]}/{key[1]} is ours and new; the watch has yet to show it"
            ) from error
        raise _foreign(key, owner_of(live)) from error


def _foreign(key: Key, owner: str) -> Conflict:
    return Conflict(
        f"InferenceService {key[0]}/{key[1]} is not ours: it is managed by {owner}",
        help="delete it or let its owner give it up, or serve the model under another name or namespace in Git",
    )


def _adopt(api: Api, key: Key, uid: str) -> tuple[str, str]:
    """Move the fields of our create to our apply: to Kubernetes those are two managers that conflict.

    Return the object's resourceVersion before and after.
    """
    for _ in range(_ATTEMPTS):
        live = read(api, key)
        if text(mapping(live, "metadata"), "uid") != uid:
            raise Conflict(f"InferenceService {key[0]}/{key[1]} was deleted and made anew meanwhile")
        before = text(mapping(live, "metadata"), "resourceVersion")
        if not needs_adoption(live):
            return before, before
        try:
            adopted_one = _answer(api, _adoption(key, live))
        except Conflict:
            # KServe writes its status at any time, which changes the resourceVersion.
            continue
        return before, text(mapping(adopted_one, "metadata"), "resourceVersion")
    raise Transient(f"InferenceService {key[0]}/{key[1]} keeps changing while we take over our own fields")


def _adoption(key: Key, live: Json) -> Call:
    return _ownership(key, text(mapping(live, "metadata"), "resourceVersion"), adopted(live))


def _ownership(key: Key, version: str, fields: list[Json]) -> Call:
    body = [
        {"op": "replace", "path": "/metadata/managedFields", "value": fields},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]
    return Call("patch", INFERENCE_SERVICES, *key, query=(_MANAGER,), body=body, media_type=JSON_PATCH)


def _apply_call(key: Key, manifest: Mapping[str, Any], uid: str, query: tuple[tuple[str, str], ...]) -> Call:
    # With the uid, an object that was deleted and made anew is a conflict instead of a takeover.
    body = {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}
    return Call("patch", INFERENCE_SERVICES, *key, query=(_MANAGER, *query), body=body, media_type=APPLY)


def _answer(api: Api, call: Call) -> Json:
    answer: Json = api.call(call)
    if answer.get("kind") != call.resource.kind or not text(mapping(answer, "metadata"), "resourceVersion"):
        why = f"the answer is no {call.resource.kind}, but kind {answer.get('kind')!r}"
        raise UnknownOutcome(why) if call.writes else Transient(why)
    if call.writes:
        reached(f"wrote {call.verb} {call.media_type}")
    return answer
