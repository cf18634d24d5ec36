"""KServe as a state machine: in Knative mode on the stand-in's own pure rules of traffic, else on `standard`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar

from reconciler.demo.kserve.admission import refuse_canaries, refuse_renaming
from reconciler.demo.kserve.knative import (
    Component,
    Service,
    Share,
    latest_ready,
    missing,
    propagate,
    revision_name,
    route,
    traffic_targets,
)
from reconciler.errors import Conflict, Refused, Transient
from reconciler.observed import (
    LABEL_MODEL,
    LABEL_RELEASE,
    Failure,
    HeldField,
    InferenceService,
    Known,
    Release,
    TrafficTarget,
    Unknown,
)
from reconciler.ports import Clock
from reconciler.systems.serving.translate import serving_fields_of
from reconciler.systems.serving.writing import NoCanaries
from tests.simulation import standard
from tests.simulation.faults import Faults, Kind
from tests.simulation.fields import Fields, Leaves, Path, leaves, tree

Key = tuple[str, str]


_NOTHING = Fields({}, frozenset())
_CANARY = ("spec", "canary")
_SHARE = ("spec", "predictor", "canaryTrafficPercent")
_RELEASE = ("spec", "predictor", "labels", LABEL_RELEASE)
_MANAGED_BY = "app.kubernetes.io/managed-by"
_LABELS = ("metadata", "labels")


@dataclass(slots=True)
class Live:
    """One InferenceService with what its controllers know.

    `down` are those of `ready` that lost all their pods, and since when; they may come back, or never. `lost` went, or
    were changed, while they were down: nobody was served by then.
    `flipped`: KServe itself put an older revision back, as it may when a second canary races (facts of KServe).
    In Standard mode Deployments stand for revisions; one that is `updating` answers with its old pods, one that is
    `short` with some of its pods, and is `steady` again since then. Each has its `pods`: one, and a moment later as
    many as are asked for, as a horizontal autoscaler does it. `told` is what its Deployments and its route say to
    whoever watches them.
    """

    manifest: dict[str, Any]
    uid: str
    fields: Fields = _NOTHING
    resource_version: int = 1
    generation: int = 1
    created: int = 0
    templates: dict[str, str] = field(default_factory=dict)
    releases: dict[str, Release | None] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)
    down: dict[str, datetime] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    latest_ready: str = ""
    component: Component = field(default_factory=Component)
    shares: tuple[Any, ...] = ()
    flipped: bool = False
    updating: set[str] = field(default_factory=set)
    short: set[str] = field(default_factory=set)
    steady: dict[str, datetime] = field(default_factory=dict)
    pods: dict[str, int] = field(default_factory=dict)
    told: tuple[tuple[str, ...], tuple[tuple[str, int], ...], tuple[str, ...], dict[str, int]] = ((), (), (), {})
    applied_at: datetime | None = None

    @property
    def shown(self) -> str:
        return str(self.resource_version)

    @property
    def up(self) -> set[str]:
        return self.ready - self.down.keys()

    @property
    def seen_up(self) -> set[str]:
        """Return what is up as its watchers were told: of what came back a moment ago nobody can know."""
        return self.up & {*self.told[0], *self.told[2], *self.short} if self.standard else self.up

    @property
    def percent(self) -> int | None:
        return asked_of(self.manifest)[1]

    @property
    def standard(self) -> bool:
        return standard.is_standard(self.manifest)

    @property
    def newest(self) -> str:
        if self.standard:
            return standard.newest_name(self.manifest)
        return revision_name(f"{self.manifest['metadata']['name']}-predictor", self.created) if self.created else ""


def asked_of(manifest: Mapping[str, Any]) -> tuple[Release | None, int | None]:
    """Return the release that is asked for, and its share where there is a split."""
    predictor, canary = manifest["spec"]["predictor"], standard.canary_of(manifest)
    if canary is not None:
        return standard.release_of(canary["predictor"]), canary["trafficPercent"]
    return standard.release_of(predictor), predictor.get("canaryTrafficPercent")


def template_of(manifest: Mapping[str, Any]) -> str:
    """Return what makes a revision: everything but the traffic, labels and annotations of the object too."""
    predictor = {k: v for k, v in manifest["spec"]["predictor"].items() if k != "canaryTrafficPercent"}
    meta = [sorted(manifest["metadata"].get(name, {}).items()) for name in ("labels", "annotations")]
    return repr((sorted(predictor.items()), *meta))


@dataclass(slots=True)
class SimServing:
    """Implements ports.Serving; `tick` lets the controllers take their turn, one step at a time.

    While `blind`, the watch is known to be broken; while `lagging`, it shows nothing new but our own writes. Each
    replica has a watch of its own; `viewer` is the one at work. `namespaces` are those that are watched, none for all.
    KServe before v0.20.0 `keeps_canaries` not. While the cluster is `full` it has room for no more pods.
    """

    faults: Faults
    clock: Clock
    live: dict[Key, Live] = field(default_factory=dict)
    never_ready: set[int] = field(default_factory=set)
    writes: int = 0
    uids: int = 0
    blind: bool = False
    full: bool = False
    lagging: bool = False
    before_delete: Callable[[Key], None] = lambda _: None
    viewer: int = 0
    # In these proportions older tapes choose what they chose.
    routings: ClassVar[tuple[standard.Routing, ...]] = (*6 * ("weights",), *2 * ("ignored",), "none", "unused")
    routing: standard.Routing = "weights"
    namespaces: tuple[str, ...] = ()
    keeps_canaries: bool = True
    _found_none: bool = False
    _seen_by: dict[int, dict[Key, InferenceService]] = field(default_factory=dict)

    def read_all(self) -> Known[Mapping[Key, InferenceService]] | Unknown:
        if self.blind:
            return Unknown("the watch is cut")
        if not self.lagging:
            self._show()
        if self.namespaces:
            return Known({key: live for key, live in self._seen.items() if key[0] in self.namespaces}, self.clock())
        return Known(self._seen, self.clock())

    @property
    def _seen(self) -> dict[Key, InferenceService]:
        return self._seen_by.setdefault(self.viewer, {})

    def shown(self, name: str) -> list[InferenceService]:
        """Return what the watch shows of a model, without a look at what is there."""
        return [live for (_, named), live in self._seen.items() if named == name]

    def list_anew(self) -> None:
        """Let a new process list before it watches."""
        self._seen_by.pop(self.viewer, None)
        self._show()

    def _show(self) -> None:
        """Let the watch catch up; what was shown before stays as it is."""
        if self._seen.keys() == self.live.keys() and all(
            (seen.uid, seen.resource_version) == (self.live[key].uid, str(self.live[key].resource_version))
            for key, seen in self._seen.items()
        ):
            return
        self._seen_by[self.viewer] = {key: self._translate(key, live) for key, live in self.live.items()}

    def drift(self, manifest: Mapping[str, Any]) -> tuple[str, ...]:
        key = manifest["metadata"]["namespace"], manifest["metadata"]["name"]

        def compare() -> tuple[str, ...]:
            live = self.live.get(key)
            if live is None:
                raise Transient("the object is not there, so there is nothing to compare")
            return tuple(sorted(".".join(path) for path in live.fields.drift(leaves(manifest))))

        return self.faults.call(f"serving.drift {key[1]}", compare, Kind.READ)

    def apply(self, manifest: Mapping[str, Any]) -> None:
        release, percent = asked_of(manifest)
        name = manifest["metadata"]["name"]
        self.faults.call(f"serving.apply {name} {release} at {percent}", lambda: self._apply(manifest))

    def delete(self, namespace: str, name: str, uid: str) -> None:
        def delete() -> None:
            live = self.live.get((namespace, name))
            if live is not None and live.uid != uid:
                raise Conflict("another object has that name now")
            if live is None:
                return
            self.writes += 1
            self.live.pop((namespace, name), None)
            self._show()

        if (namespace, name) in self.live:
            self.before_delete((namespace, name))
        self.faults.call(f"serving.delete {namespace}/{name}", delete)

    def _apply(self, manifest: Mapping[str, Any]) -> None:
        meta = manifest["metadata"]
        key, wanted = (meta["namespace"], meta["name"]), copy.deepcopy(leaves(manifest))
        live = self.live.get(key)
        if live is None:
            if "uid" in meta:
                raise Conflict("the object is gone")
            self._create(key, Fields(wanted, frozenset(wanted)))
            self.writes += 1
        else:
            _check(live, meta)
            if not is_ours(live):
                raise Conflict("the object is not ours")
            self._check_canaries(manifest)
            _check_left(live, manifest)
            self.writes += self._applied(live, _onto(live.fields, wanted))
        self._show()

    def _check_canaries(self, manifest: Mapping[str, Any]) -> None:
        """Refuse a canary as KServe before v0.20.0 does, by its definitions; from then on that is known."""
        if self.keeps_canaries or standard.canary_of(manifest) is None:
            return
        self._found_none = True
        self._seen_by.clear()
        raise NoCanaries("this KServe has no spec.canary")

    def trouble(self, live: InferenceService) -> Failure | None:
        def look() -> Failure | None:
            stuck = self._stuck(live.release)
            return (
                Failure("CrashLoopBackOff", "CrashLoopBackOff: it ends; next: read its log", False) if stuck else None
            )

        return self.faults.call(f"serving.pods {live.name}", look, Kind.READ)

    def take_over(self, manifest: Mapping[str, Any]) -> None:
        def take() -> None:
            live = self.live.get(_key_of(manifest))
            if live is None:
                raise Conflict("the object is gone")
            _check(live, manifest["metadata"])
            if not is_ours(live):
                raise Conflict("the object is not ours")
            self._give(live, manifest)

        self.faults.call(f"serving.take_over {manifest['metadata']['name']}", take)

    def adopt(self, manifest: Mapping[str, Any]) -> None:
        def adopt() -> None:
            live = self.live.get(_key_of(manifest))
            if live is None or is_ours(live):
                raise Conflict("the object is gone, or ours")
            _check(live, manifest["metadata"])
            self._give(live, manifest)

        self.faults.call(f"serving.adopt {manifest['metadata']['name']}", adopt)

    def _give(self, live: Live, manifest: Mapping[str, Any]) -> None:
        """Make all fields of a manifest ours."""
        wanted = copy.deepcopy(leaves(manifest))
        freed = replace(live.fields, theirs=live.fields.theirs - wanted.keys())
        self.writes += self._applied(live, freed.applied(wanted))
        self._show()

    def _applied(self, live: Live, fields: Fields) -> bool:
        changed = self._become(live, fields)
        if changed:
            live.applied_at = self.clock()
        return changed

    def _create(self, key: Key, fields: Fields) -> None:
        self.uids += 1
        self.live[key] = Live(_manifest(key, fields), f"uid-{self.uids}", fields, applied_at=self.clock())

    def _become(self, live: Live, fields: Fields) -> bool:
        """Store other fields; False when nothing but their owners changed."""
        changed = fields.values != live.fields.values
        if changed:
            _admit(live, _manifest(_key(live), fields))
        if changed or fields != live.fields:
            live.resource_version += 1
        if changed:
            before, live.manifest = live.manifest, _manifest(_key(live), fields)
            live.generation += live.manifest["spec"] != before["spec"]
        live.fields = fields
        return changed

    def edit_by_hand(self, key: Key, field_name: str, value: object) -> None:
        """Change the template as a person does with kubectl; None removes the field."""
        self._by_hand(key, ("spec", "predictor", field_name), value)

    def label_by_hand(self, key: Key, labels: Mapping[str, str | None]) -> None:
        """Change labels of the object as a person does."""
        for name, value in labels.items():
            self._by_hand(key, (*_LABELS, name), value)

    def _by_hand(self, key: Key, path: Path, value: object) -> None:
        live = self.live[key]
        with suppress(Refused):  # the person is told
            self._become(live, live.fields.patched(path, value, ours=False))

    def create_by_hand(self, body: Mapping[str, Any]) -> None:
        """Create an object as a person does."""
        wanted = leaves(body)
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        self._create(key, Fields(wanted, frozenset(), frozenset(wanted)))

    def delete_by_hand(self, key: Key) -> None:
        """Delete the object as a person does with kubectl."""
        self.live.pop(key)

    def crash(self, key: Key, revision: str) -> None:
        """Let a revision that was ready lose all its pods."""
        live = self.live[key]
        assert revision in live.up
        live.short.discard(revision)
        if revision in live.updating:  # its new pods are on their way, and nobody answers meanwhile
            live.updating.remove(revision)
            live.ready.remove(revision)
            live.lost.add(revision)
        else:
            live.down[revision] = self.clock()
        self._noticed(live)

    def recover(self, key: Key) -> None:
        """Let what crashed come back."""
        live = self.live[key]
        back = set(live.down)
        self.refill(key)
        if back:
            if live.standard:  # what goes already, as nobody was served, is not back to stay
                live.lost |= live.down.keys() - standard.deployments(live.manifest).keys()
            live.down.clear()
            live.steady |= dict.fromkeys(back, self.clock())
            self._noticed(live)

    def refill(self, key: Key) -> None:
        """Give every Deployment the pod back that it lost."""
        live = self.live[key]
        if live.short:
            live.steady |= dict.fromkeys(live.short, self.clock())
            live.short.clear()
            self._noticed(live)

    def lose_a_pod(self, key: Key, revision: str) -> None:
        """Let a Deployment lose one of its pods, which others make up for: KServe changes no share meanwhile."""
        live = self.live[key]
        assert live.standard
        assert revision in live.up
        live.short.add(revision)
        self._noticed(live)

    def _noticed(self, live: Live) -> None:
        """Let the watch show how the pods are."""
        self._tell(live)
        live.resource_version += 1

    def tick(self, key: Key, turn: int = 0) -> bool:
        """Let one controller take one step, `turn` says which begins; return whether anything changed."""
        live = self.live.get(key)
        if live is None:
            return False
        steps = (
            (self._deploy, self._come_up, self._weigh, self._tell, self._scale)
            if live.standard
            else (self._revise, self._become_ready, self._route, self._report)
        )
        first = turn % len(steps)
        if any(step(live) for step in (*steps[first:], *steps[:first])):
            live.resource_version += 1
            return True
        return False

    def _deploy(self, live: Live) -> bool:
        """Make, change and remove Deployments; where the route knows no canaries, it follows in the same breath."""
        wanted = standard.deployments(live.manifest)
        if live.templates == {name: template for name, (template, _) in wanted.items()}:
            return False
        for name, (template, release) in wanted.items():
            if live.templates.get(name) != template and name in live.down:
                del live.down[name]
                live.ready.remove(name)  # no pods are left to answer meanwhile
                live.lost.add(name)
            if live.templates.get(name) != template and name in live.ready:
                live.updating.add(name)
                live.short.discard(name)
            live.releases[name] = release
        live.lost |= live.down.keys() - wanted.keys()
        live.templates = {name: template for name, (template, _) in wanted.items()}
        live.ready &= live.templates.keys()
        live.updating &= live.templates.keys()
        live.down = {name: since for name, since in live.down.items() if name in live.templates}
        live.short &= live.templates.keys()
        live.pods = {name: pods for name, pods in live.pods.items() if name in live.templates}
        if self.routing != "weights":
            self._weigh(live)
        return True

    def _come_up(self, live: Live) -> bool:
        """Bring up one Deployment, as its newest template asks."""
        waiting = [
            name
            for name in live.templates
            if (name not in live.ready or name in live.updating) and not self._stuck(live.releases[name])
        ]
        if not waiting:
            return False
        live.ready.add(waiting[0])
        live.updating.discard(waiting[0])
        live.lost.discard(waiting[0])
        live.pods.setdefault(waiting[0], 1)
        return True

    def _scale(self, live: Live) -> bool:
        """Give one Deployment as many pods as it is asked to have."""
        asked = standard.pods_of(live.manifest)
        fewer = [name for name in sorted(live.up & asked.keys()) if live.pods[name] != asked[name]]
        if not fewer or self.full:
            return False
        live.pods[fewer[0]] = asked[fewer[0]]
        return True

    def _weigh(self, live: Live) -> bool:
        if live.templates.keys() != standard.deployments(live.manifest).keys():
            return False  # KServe looks after Deployments first
        before = {share.revision: share.percent for share in live.shares}
        after = standard.weights(live.manifest, live.up, live.short, before, self.routing)
        live.shares = tuple(Share(name, percent) for name, percent in sorted(after.items()))
        return before != after

    def _tell(self, live: Live) -> bool:
        ready = tuple(sorted(live.up - live.updating - live.short))
        updating = tuple(sorted(live.updating - live.down.keys()))
        told = ready, tuple((share.revision, share.percent) for share in live.shares), updating, dict(live.pods)
        changed = told != live.told
        live.told = told
        return changed

    def _revise(self, live: Live) -> bool:
        template = template_of(live.manifest)
        if live.templates.get(live.newest) == template:
            return False
        live.created += 1
        live.templates[live.newest] = template
        labels = live.manifest["spec"]["predictor"].get("labels", {})
        live.releases[live.newest] = Release.parse(labels.get(LABEL_RELEASE))
        return True

    def _become_ready(self, live: Live) -> bool:
        """Bring up the oldest revision that is still coming up, as an older one may come first."""
        waiting = [r for r in live.templates if r not in live.ready and not self._stuck(live.releases[r])]
        if not waiting:
            return False
        live.ready.add(waiting[0])
        live.latest_ready = latest_ready(live.latest_ready, live.ready)
        return True

    def _stuck(self, release: Release | None) -> bool:
        return release is not None and release.version in self.never_ready

    def _route(self, live: Live) -> bool:
        targets = traffic_targets(live.percent, "latest", live.component)
        shares = route(targets, live.latest_ready, live.up, live.shares)
        changed = shares != live.shares
        live.shares = shares
        return changed

    def _report(self, live: Live) -> bool:
        seen = propagate(live.component, Service(live.newest, live.latest_ready, live.shares))
        changed = seen != live.component
        if seen.rolledout != live.component.rolledout:
            live.flipped = seen.rolledout < live.component.rolledout
        live.component = seen
        return changed

    def shares(self, key: Key) -> dict[int | None, int]:
        """Return the truth: the percent that each version's callers get."""
        found = dict[int | None, int]()
        for release, percent in self.releases(key).items():
            number = release.version if release else None
            found[number] = found.get(number, 0) + percent
        return found

    def releases(self, key: Key) -> dict[Release | None, int]:
        """Return the truth: the percent that each release's callers get."""
        live, found = self.live[key], dict[Release | None, int]()
        for share in live.shares:
            release = live.releases.get(share.revision)
            found[release] = found.get(release, 0) + share.percent
        return {release: percent for release, percent in found.items() if percent}

    def _translate(self, key: Key, live: Live) -> InferenceService:
        component = live.component
        release, _ = asked_of(live.manifest)
        stuck = self._stuck(release) and live.newest not in live.ready
        targets = traffic_targets(live.percent, "latest", component)
        routed = missing(targets, component.ready, live.up) is None
        ill = Failure("ModelLoadFailed", "the model does not load", terminal=False) if stuck else None
        if live.newest in live.down:
            ill = Failure("RevisionFailed", "its container exits with code 137", terminal=False)
        found = InferenceService(
            namespace=key[0],
            name=key[1],
            uid=live.uid,
            resource_version=str(live.resource_version),
            generation=live.generation,
            ours=is_ours(live),
            owner="" if is_ours(live) else "a person",
            release=release,
            canary_percent=live.percent,
            ready=bool(component.ready) and component.created == component.ready and routed,
            message="",
            traffic=tuple(_target(key, share) for share in component.shares),
            latest_created=component.created or None,
            latest_ready=component.ready or None,
            latest_rolledout=component.rolledout or None,
            revisions=dict(live.releases),
            failure=ill,
            held=_held(live) if is_ours(live) else (),
            unready=frozenset(live.down),
            unready_since=dict(live.down),
            found=None if is_ours(live) else serving_fields_of(live.manifest),
            applied_at=live.applied_at,
            canaries=not self._found_none,
        )
        return self._translate_standard(live, found) if live.standard else found

    def _translate_standard(self, live: Live, found: InferenceService) -> InferenceService:
        # A Deployment's own status is behind its template, which both show at once: it is not ready meanwhile.
        ready, updating = set(live.told[0]) - live.updating, set(live.told[2]) | live.updating
        route = dict(live.told[1])
        return standard.shown(
            replace(found, failure=None, ready=standard.stable_name(live.manifest) in ready),
            live.manifest,
            made={name: live.releases[name] for name in live.templates},
            ready=ready & live.templates.keys(),
            updating=updating & live.templates.keys(),
            since=live.down,
            short=live.short,
            steady=live.steady,
            pods=live.told[3],
            stuck={name for name in live.templates if self._stuck(live.releases[name]) and name not in ready},
            route=route,
            routing=self.routing,
        )


def _check(live: Live, meta: Mapping[str, Any]) -> None:
    """Refuse what is meant for the object as it was before."""
    if meta.get("uid", live.uid) != live.uid or meta.get("resourceVersion", live.shown) != live.shown:
        raise Transient("the object was changed meanwhile")


def _check_left(live: Live, manifest: Mapping[str, Any]) -> None:
    """Refuse to take a canary away that callers are sent to, as the adapter does, which asks the API for the route."""
    if not live.standard or standard.canary_of(live.manifest) is None or live.newest in standard.pods_of(manifest):
        return
    if any(share.percent for share in live.shares if share.revision == live.newest):
        raise Transient(f"callers are sent to {live.newest} still")


def _admit(live: Live, manifest: dict[str, Any]) -> None:
    """Refuse what KServe's webhook refuses of canaries, and another name for the same artifact."""
    if why := refuse_canaries(manifest) or refuse_renaming(manifest, live.manifest):
        raise Refused(why)


def _key_of(manifest: Mapping[str, Any]) -> Key:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _held(live: Live) -> tuple[HeldField, ...]:
    theirs = sorted(live.fields.theirs)
    return tuple(
        HeldField(tuple(f"f:{part}" for part in path), "a person", live.fields.values[path])
        for path in theirs
        if path in live.fields.values
    )


def is_ours(live: Live) -> bool:
    """Tell whether we made it and our labels are on it."""
    labels = live.manifest["metadata"].get("labels", {})
    return bool(live.fields.ours) and {LABEL_MODEL, _MANAGED_BY} <= labels.keys()


def _onto(fields: Fields, wanted: Leaves) -> Fields:
    """Apply; where others hold fields, at most the traffic of the live release is taken away."""
    held = fields.conflicts(wanted)
    if not held:
        return fields.applied(wanted)
    if _CANARY in wanted:
        return _cut_canary(fields, wanted, held)
    same = wanted[_RELEASE] == fields.values.get(_RELEASE)
    if not same or _SHARE in held or wanted.get(_SHARE) != 0 or fields.values.get(_SHARE) == 0:
        raise Conflict(f"fields are held by a person: {held}")
    return fields.patched(_SHARE, 0, ours=True)


def _cut_canary(fields: Fields, wanted: Leaves, held: tuple[Path, ...]) -> Fields:
    """Take the canary's traffic away where others hold other fields."""
    (ask,), found = wanted[_CANARY], fields.values.get(_CANARY)
    same = found and standard.release_of(found[0]["predictor"]) == standard.release_of(ask["predictor"])
    if not found or not same or _CANARY in held or ask["trafficPercent"] != 0 or found[0]["trafficPercent"] == 0:
        raise Conflict(f"fields are held by a person: {held}")
    return fields.patched(_CANARY, [{**found[0], "trafficPercent": 0}], ours=True)


def _key(live: Live) -> Key:
    meta = live.manifest["metadata"]
    return meta["namespace"], meta["name"]


def _manifest(key: Key, fields: Fields) -> dict[str, Any]:
    found = tree(fields.values)
    return {**found, "metadata": {**found["metadata"], "namespace": key[0], "name": key[1]}}


def _target(key: Key, share: Any) -> TrafficTarget:
    # Only what has a tag has an address of its own.
    url = f"http://{key[0]}/{key[1]}/{share.revision}" if share.tag else None
    return TrafficTarget(share.revision, share.percent, share.tag or None, share.latest, url)
