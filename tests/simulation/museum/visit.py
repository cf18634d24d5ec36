"""One run of one tape under the wardens, and which promise it breaks."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from reconciler.observed import TAG_REJECTED, TAG_ROLLOUT, TAG_TRAINING_KEY, ModelVersion, Stage
from reconciler.plan.marks import RolloutRecord
from reconciler.plan.training import recipe_of
from reconciler.registry_roles import CHAMPION, role
from tests.simulation.chaos import Chaos
from tests.simulation.hunt import LENGTH, ROUNDS
from tests.simulation.museum.planting import Bug, Place, planted
from tests.simulation.museum.wardens import Warden
from tests.simulation.serving import template_of
from tests.simulation.tape import Tape
from tests.simulation.wire.chaos import RegistryChaos
from tests.simulation.wire.world import WireChaos
from tests.simulation.wishes import Wish

# Sound code comes to rest in far fewer rounds on nearly every tape; the others are not used.
REST = 800
# The rollouts of the simulated world have ten minutes.
OVERDUE = timedelta(minutes=16)
# Parameters that no other wish has, and in how many looks the version that they make is on its way.
LAST, SLOW = 5, 80
# First bytes of tapes: below, there is no such version; from there on, it fails its callers.
PLAIN, FAILING = 100, 200


class Visit(Chaos):
    """A run that is also watched by a warden."""

    warden: Warden

    def __post_init__(self) -> None:
        super().__post_init__()
        self.warden = Warden(self.world)

    def heal(self) -> None:
        """Stop all faults; on most tapes one more version sets out from rest while the controllers take their time."""
        super().heal()
        name, kind = self.names[0], self.tape.data[0]
        if kind >= PLAIN and name in self.world.source.specs:
            self.rest()
            self.commit(name, Wish(parameters=LAST, hold="5s", namespace=self.wishes[name].namespace))
            if kind >= FAILING:
                self.fail(name)
            self.slowly(name)

    def slowly(self, name: str) -> None:
        """Let the reconciler look twice before the controllers take one step."""
        for number in range(SLOW):
            moved = bool(self.world.one_pass(name))
            self.see(name)
            if number % 2:
                moved = self.world.tick(name) or moved
                self.see(name)
            moved = self.world.training.tick(name) or moved
            status = self.world.status(name)
            if number % 2 and not moved and status is not None and status.look_again_at is not None:
                self.world.now = max(self.world.now, status.look_again_at)

    def rest(self) -> None:
        """Come to rest, sooner than the world itself demands."""
        self.world.settle(*self.names, limit=REST)

    def _ended(self, name: str) -> None:
        super()._ended(name)
        status = self.world.status(name)
        self._harmless(name)
        if status is not None and status.sync == "Synced":
            self._as_told(name)

    def _harmless(self, name: str) -> None:
        """Hold that no candidate is left that fails its callers, or that had its time: taking back never waits."""
        wish = self.wishes[name]
        records = [r for v in self.warden.versions(name) if (r := RolloutRecord.from_tag(v.tags.get(TAG_ROLLOUT)))]
        for key, live in self.world.serving.live.items():
            for record in records if key[1] == name and wish.on_failure == "rollback" else ():
                applied = live.percent is not None and live.templates.get(live.newest) == template_of(live.manifest)
                if not applied or live.releases.get(live.newest) != record.release:
                    continue
                share = self.world.serving.releases(key).get(record.release, 0)
                bad = self.world.prober.fails(record.release, live.templates.get(live.newest, ""))
                assert not (share and bad and wish.analysed), f"I2: {record.release} fails its callers of {share} %"
                over = self.world.now - record.started
                assert not share or over < OVERDUE, f"I2: the rollout of {record.release} goes on after {over}"

    def _as_told(self, name: str) -> None:
        """Hold that what is called Synced is as Git says."""
        wish, versions = self.wishes[name], self.warden.versions(name)
        misled = [v.version for v in versions if CHAMPION in v.aliases and role(v) is not Stage.PRODUCTION]
        assert not misled or not wish.served, f"I1: {name}: champion points at {misled}"
        if wish.suspend or not wish.served:
            return
        key = (wish.namespace, name)
        live = self.world.serving.live.get(key)
        assert live is not None, f"liveness: {name} is told Synced, but is not served in {wish.namespace}"
        if wish.replicas != 3:  # with three it fails its callers, and what served before is kept
            replicas = live.manifest["spec"]["predictor"]["minReplicas"]
            assert replicas == wish.replicas, f"liveness: {name} is told Synced with {replicas} replicas"
        shares = self.world.serving.shares(key)
        if wish.version != "auto":
            assert shares == {int(wish.version): 100}, f"liveness: {name} is told Synced with {shares}"
        elif wish.approval == "none" and versions and self._best(name, versions[-1]):
            newest = versions[-1].version
            assert shares == {newest: 100}, f"liveness: {name} is told Synced with {shares}, not with version {newest}"

    def _best(self, name: str, version: ModelVersion) -> bool:
        """Return whether a version is beyond doubt what Git wants."""
        desired = self.world.reconciler._models.get(name)
        if desired is None:
            return False
        key = version.tags.get(TAG_TRAINING_KEY)
        wanted = key is None or not self.wishes[name].trained or key == recipe_of(desired)
        accuracy = self.world.registry.metrics[name, version.version].get("accuracy", 0.0)
        return (
            wanted and accuracy >= 0.98 and version.version not in self.world.bad and TAG_REJECTED not in version.tags
        )


class KubernetesVisit(Visit, WireChaos):
    """The same with the real serving adapter, over the faults of Kubernetes."""


class RegistryVisit(Visit, RegistryChaos):
    """The same with the real registry adapter, over the faults of HTTP."""


_VISITS: Mapping[Place, type[Visit]] = {
    Place.PORTS: Visit,
    Place.KUBERNETES: KubernetesVisit,
    Place.REGISTRY: RegistryVisit,
}


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was broken (I1 to I10, liveness, ...), and the sentence that says so; both empty for none."""

    promise: str = ""
    what: str = ""


def tape(number: int) -> bytes:
    """Return the tape of that number, as the hunt for bugs numbers them."""
    return random.Random(number).randbytes(LENGTH)


def visit(place: Place, data: bytes) -> Breach:
    """Run a tape; what is raised besides broken promises breaks none of them."""
    try:
        _VISITS[place](Tape(data)).run(ROUNDS)
    except AssertionError as error:
        return Breach(promise_of(str(error)), str(error))
    except Exception as error:  # noqa: BLE001  a bug may raise anything; the hunt for it goes on
        return Breach("error", f"{type(error).__name__}: {error}")
    return Breach()


def promise_of(what: str) -> str:
    """Return which promise a failed assertion is about."""
    named = re.match(r"(I\d+|suspended|removal):", what)
    return named[1] if named else "liveness"


def with_bug(bug: Bug, data: bytes) -> Breach:
    """Run a tape with a bug in the code."""
    with planted(bug):
        return visit(bug.place, data)
