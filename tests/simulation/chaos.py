"""A run in which everything may happen, told by a tape; then everything is healed, and it must come to rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from reconciler.desired.documents import DeletionLimits, FreezeWindow, PolicySpec
from reconciler.desired.documents import History as DocumentHistory
from reconciler.observe import Observer
from reconciler.observed import TAG_ROLLOUT, ModelVersion, OrderKind, Stage
from reconciler.plan.facts import rollout_of
from reconciler.plan.planner import decide
from reconciler.plan.selection import production_of
from reconciler.registry_roles import role
from tests.simulation.faults import LIFETIME
from tests.simulation.serving import is_ours
from tests.simulation.standard import predictors_of, release_of
from tests.simulation.systems import Metrics
from tests.simulation.tape import Tape
from tests.simulation.wishes import CHOICES, Wish, foreign, spec_of
from tests.simulation.world import World

NAMES = ("iris", "wine", "rose")
GOOD: Metrics = {"accuracy": 0.95}
# Metrics of trainings, None for one that fails.
OUTCOMES: tuple[Metrics | None, ...] = (
    GOOD, GOOD, GOOD, GOOD, {"accuracy": 0.98}, {"accuracy": 0.9}, {"accuracy": 0.5}, {"accuracy": math.nan}, {}, None,
)  # fmt: skip
QUIET_PASSES = 4
FREEZE = (FreezeWindow(name="rush hour", start="*/30 * * * *", duration="10m"),)
# What may be gone for good at the end of a story, by how its calls are named; nothing, in most of them.
DEAD = ("", "", "", "metrics ", "training.", "probe ", "serving.", "registry", "memory.", "ledger ")
BEGINNING = 80
# Of all values of the byte that says what happens these are orders by hand; the ones below are nothing.
ORDERS_FROM = 72
COURSE = (OrderKind.PAUSE, OrderKind.PROMOTE, OrderKind.ABORT, OrderKind.RESUME)
OTHERWISE = (OrderKind.RETRY, OrderKind.APPROVE, OrderKind.ABORT)
MODES = ("Knative", "Knative", "Standard")
# What keeps a model from being as Git says until a person does something.
DISPUTED = ("FieldsHeld", "NotOurs", "NotPruned", "TrafficNotRouted", "CanaryInherits", "StableNotReady")
OUTAGE_ROUNDS, CALM_ROUNDS = 150, 20


@dataclass(slots=True)
class Chaos:
    """One run. `story` is told when it fails."""

    tape: Tape
    world: World = field(init=False)
    wishes: dict[str, Wish] = field(default_factory=dict)
    before: dict[str, Wish] = field(default_factory=dict)
    names: tuple[str, ...] = NAMES[:1]
    hidden: dict[tuple[str, int], Metrics] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = self.made(lambda: self.tape.pick(OUTCOMES) if self.tape.running else GOOD)
        self.world.faults.delay = lambda: self.tape.pick((1, 3, 10, 40))
        self.world.pause_seconds = lambda: self.tape.pick((1, 20, 60))
        self.world.meanwhile = self.meanwhile
        self.world.reads_all = lambda: not self.tape.running or self.tape.pick((True, True, False))
        self.world.training.registers_late = lambda: self.tape.pick((False, False, True))
        self.world.training.server_ids = self.tape.byte() >= 128
        self.world.source.rule(PolicySpec(deletion=DeletionLimits(models=1, share=0.5)))
        self.names = NAMES[: self.tape.pick((1, 1, 2, 3))]
        self.world.serving.routing = self.tape.pick(self.world.serving.routings)
        for name in self.names:
            self.commit(name, Wish(mode=self.tape.pick(MODES)))

    def made(self, outcomes: Callable[[], Metrics | None]) -> World:
        """Make the world."""
        return World(self.tape.fault, outcomes)

    def story(self) -> list[str]:
        """Return what happened, in order."""
        return self.world.faults.log

    def note(self, what: str) -> None:
        """Add to the story."""
        self.story().append(f"== {what}")

    def run(self, rounds: int) -> None:
        """Let anything happen for some rounds, then let it come to rest."""
        if self.tape.byte() < 200:
            self.go_on()  # most stories begin with a version in production
        for _ in range(rounds):
            if self.tape.ended:
                break
            self.round()
        self.heal()
        self.rest()
        self.quiet()

    def round(self) -> None:
        """Let one thing happen, one model be looked at, and the controllers take some steps."""
        name = self.tape.pick(self.names)
        self.happen(name)
        self.world.one_pass(name)
        self.see(name)
        for _ in range(self.tape.pick((6, 6, 0, 1, 2, 3))):
            if not self.world.tick(name, self.tape.pick((0, 0, 1, 2, 3))):
                break
            self.see(name)
        if self.tape.byte() < 128:
            self.world.training.tick(name)
        self.let_time_pass(name)

    def meanwhile(self) -> None:
        """Let another replica work while one is paused."""
        for _ in range(self.tape.pick((1, 2, 4, 8))):
            self.round()

    def see(self, name: str) -> None:
        """Hold the invariants."""
        self.world.truth.published()
        self.world.check(name)

    def let_time_pass(self, name: str) -> None:
        """Go on to when the model is to be looked at again, or some other time."""
        status = self.world.status(name)
        wake = status.look_again_at if status else None
        match self.tape.pick(("next", "next", "next", "soon", "second", "minutes", "back")):
            case "next" if wake is not None:
                self.world.pass_time(max(self.world.now, wake))
            case "second":
                self.world.pass_time(self.world.now + timedelta(seconds=1))
            case "minutes":
                self.world.pass_time(self.world.now + timedelta(minutes=7))
            case "back":
                self.world.now -= timedelta(minutes=2)

    def happen(self, name: str) -> None:
        """Let a person, a system or fate do something."""
        what = self.tape.byte()
        if what < 96:
            if what >= ORDERS_FROM:
                self.order(name)
            return
        events = (
            self.change, self.change, self.change, self.revert, self.revert, self.remove, self.bring_back, self.fail,
            self.hang, self.crash, self.edit, self.delete, self.move_role, self.register, self.blind, self.lag,
            self.restart, self.break_source, self.hide_file, self.force_push, self.lag_mirror, self.freeze,
            self.drop_version, self.lose_metrics, self.suspend,
        )  # fmt: skip
        event = events[(what - 96) * len(events) // 160]
        self.note(f"{name}: {event.__name__}")
        event(name)

    def order(self, name: str) -> None:
        """Order something by hand, once or twice."""
        rolling = rollout_of(self.world.registry.models.get(name)) is not None
        kind = self.tape.pick(COURSE if rolling else OTHERWISE)
        for _ in range(self.tape.pick((1, 1, 2))):
            self.world.order(kind, name)

    def resume(self) -> None:
        """Let every rollout that was paused by hand go on."""
        for name in self.names:
            self.world.order(OrderKind.RESUME, name)

    def commit(self, name: str, wish: Wish) -> None:
        """Commit a spec."""
        self.before[name] = self.wishes.get(name, wish)
        self.wishes[name] = wish
        self.world.source.write(name, spec_of(wish))
        self.note(f"{name}: commit {wish}")

    def change(self, name: str) -> None:
        """Commit a spec that differs in one thing."""
        part, choices = self.tape.pick(CHOICES)
        self.commit(name, replace(self.wishes[name], **{part: self.tape.pick(choices)}))  # type: ignore[arg-type]  # of that field

    def suspend(self, name: str) -> None:
        """Commit that nothing new is to begin, or that it may again."""
        self.commit(name, replace(self.wishes[name], suspend=not self.wishes[name].suspend))

    def revert(self, name: str) -> None:
        """Commit the spec before."""
        self.commit(name, self.before[name])

    def remove(self, name: str) -> None:
        """Commit a removal."""
        self.world.source.write(name, None)

    def bring_back(self, name: str) -> None:
        """Commit the last spec again."""
        self.commit(name, self.wishes[name])

    def fail(self, name: str) -> None:
        """Make the next version fail its callers."""
        self.world.bad.add(self._next(name))

    def hang(self, name: str) -> None:
        """Keep the next version from becoming ready, or let what hung become so."""
        if self.tape.byte() < 128:
            self.world.serving.never_ready.add(self._next(name))
        else:
            self.world.serving.never_ready.clear()

    def crash(self, name: str) -> None:
        """Let a revision that was ready lose its pods, one with callers where there is one, or let it come back."""
        for key, live in self.world.serving.live.items():
            if key[1] != name:
                continue
            serving = [share.revision for share in live.shares if share.revision in live.up]
            if (live.down or live.short) and self.tape.byte() < 128:
                self.world.serving.recover(key)
            elif live.standard and serving and self.tape.byte() < 64:
                self.world.serving.lose_a_pod(key, self.tape.pick(serving))
            elif serving or live.up:
                self.world.serving.crash(key, self.tape.pick(serving or sorted(live.up)))

    def _next(self, name: str) -> int:
        model = self.world.registry.models.get(name)
        return len(model.versions) + 1 if model else 1

    def edit(self, name: str) -> None:
        """Edit the InferenceService by hand."""
        for key in tuple(self.world.serving.live):
            if key[1] == name:
                value = self.tape.byte()
                # What a person sets is his; what he takes away of ours is put back; what he takes is not taken back.
                if value < 128:
                    self.world.serving.edit_by_hand(key, "maxReplicas", value)
                elif value < 232:
                    self.world.serving.edit_by_hand(key, "minReplicas", None if value < 200 else value - 190)
                else:
                    self.dispute(name, key, value)

    def dispute(self, name: str, key: tuple[str, str], value: int) -> None:
        """Let Git claim what others hold, or give that up; or put an object of somebody else in our object's place."""
        wish = self.wishes[name]
        if value < 240:
            self.commit(name, replace(wish, take_ownership=not wish.take_ownership))
        elif value < 245:
            self.commit(name, replace(wish, adopt=not wish.adopt))
        elif value < 248:
            self.commit(name, replace(wish, prune=not wish.prune))
        else:
            version = max(self._next(name) - 1, 1)
            self.world.serving.delete_by_hand(key)
            if key not in self.world.serving.live:
                self.world.serving.create_by_hand(foreign(key, f"s3://models/{name}/{version}", wish.mode))

    def delete(self, name: str) -> None:
        """Delete the InferenceService by hand."""
        for key in tuple(self.world.serving.live):
            if key[1] == name:
                self.world.serving.delete_by_hand(key)

    def move_role(self, name: str) -> None:
        """Move a stage or an alias by hand."""
        model = self.world.registry.models.get(name)
        if model is None or not model.versions:
            return
        version = self.tape.pick(model.versions)
        stage = self.tape.pick((Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED, Stage.NONE))
        self.world.truth.edited.add(name)
        if self.tape.byte() < 128:
            self.world.registry._transition(name, version.version, stage)
        else:
            self.world.registry._point(name, "champion", version.version)

    def register(self, name: str) -> None:
        """Register a version by hand."""
        metrics = self.tape.pick(OUTCOMES) or {}
        self.world.registry.register(name, {}, metrics, self.world.now)

    def blind(self, _: str) -> None:
        """Break the watch, or mend it."""
        self.world.serving.blind = not self.world.serving.blind

    def lag(self, _: str) -> None:
        """Let the watch fall behind, or catch up."""
        self.world.serving.lagging = not self.world.serving.lagging

    def restart(self, _: str) -> None:
        """Kill the process between two passes."""
        self.world.restart()

    def break_source(self, _: str) -> None:
        """Keep Git from answering, or let it."""
        self.world.source.broken = not self.world.source.broken

    def hide_file(self, _: str) -> None:
        """Make a file unreadable, or readable again."""
        self.world.source.unreadable = not self.world.source.unreadable

    def force_push(self, _: str) -> None:
        """Rewrite the newest commit."""
        self.world.source.history.amend(self.world.now)

    def lag_mirror(self, _: str) -> None:
        """Let the mirror of Git fall behind, or catch up."""
        history = self.world.source.history
        history.catch_up() if history.lagging else history.lag(self.tape.pick((1, 2, 0)))

    def freeze(self, _: str) -> None:
        """Commit a policy with a freeze, or one without."""
        policy, rules = self.world.source.policy, self.tape.pick(((), FREEZE))
        history = DocumentHistory(rewrites=self.tape.pick(("refuse", "follow")))
        self.world.source.rule(policy.model_copy(update={"freezes": rules, "history": history}))

    def drop_version(self, name: str) -> None:
        """Delete a version by hand that nobody uses."""
        model = self.world.registry.models.get(name)
        unused = [v for v in model.versions if self._unused(name, v)] if model else []
        if unused and not self.world.faults.under_way and not self.world.paused:
            self.world.registry.drop(name, self.tape.pick(unused).version)

    def _unused(self, name: str, version: ModelVersion) -> bool:
        objects = [live for key, live in self.world.serving.live.items() if key[1] == name]
        predictors = [p for live in objects for p in predictors_of(live.manifest)]
        releases = [*map(release_of, predictors), *(r for live in objects for r in live.releases.values())]
        served = version.version in {release.version for release in releases if release}
        return role(version) is Stage.NONE and TAG_ROLLOUT not in version.tags and not served

    def lose_metrics(self, name: str) -> None:
        """Let the metrics of the newest version not be there yet, or be there at last; Prometheus' mood changes too."""
        self.world.metrics.next_mood()
        self.world.jobs.evicting = self.world.metrics.mood == "error"
        metrics = self.world.registry.metrics
        if self.hidden:
            metrics.update(self.hidden)
            self.hidden = {}
        elif (newest := (name, self._next(name) - 1)) in metrics:
            self.hidden = {newest: metrics[newest]}
            metrics[newest] = {}

    def outage(self) -> None:
        """Let one system be gone for good: what does not need it comes to rest, and nothing goes wrong."""
        dead = self.tape.pick(DEAD)
        if not dead:
            return
        self.note(f"{dead} is gone")
        self.tape.dead = dead
        for _ in range(OUTAGE_ROUNDS):
            self.world._round(self.names)
            self.world._wait(self.names)
        before = (self.world.registry.writes, self.world.serving.writes)
        for _ in range(CALM_ROUNDS):
            self.world._round(self.names)
            self.world._wait(self.names)
        assert (self.world.registry.writes, self.world.serving.writes) == before, f"I8: written again and again: {dead}"

    def calm(self) -> None:
        """Stop all faults but an outage; people commit nothing that comes back by itself."""
        self.tape.running = False
        source = self.world.source
        if source.policy.freezes:
            source.rule(source.policy.model_copy(update={"freezes": ()}))
        for name in self.names:
            wish = self.wishes[name]
            hold = "5s" if wish.hold in ("untilApproved", "window") else wish.hold  # nobody approves, no window is near
            # A rollout that is suspended has no deadline: it would be measured for ever.
            suspend = wish.suspend and rollout_of(self.world.registry.models.get(name)) is None
            calmed = replace(wish, schedule=None, max_age=None, hold=hold, suspend=suspend)
            if name in source.specs and calmed != wish:
                self.commit(name, calmed)
        self.world.registry.metrics.update(self.hidden)
        source.history.catch_up()
        source.accepted = source.history.tip

    def heal(self) -> None:
        """Stop all faults."""
        self.calm()
        self.world.source.broken = self.world.source.unreadable = False
        self.outage()
        self.tape.dead = ""
        self.note("everything is healed")
        self.world.pass_time(self.world.now + LIFETIME)
        self.world.serving.blind = self.world.serving.lagging = False
        self.world.serving.never_ready.clear()
        self.recover()
        self.world.metrics.mood = ""
        self.world.jobs.evicting = False
        self.world.reconciler.refresh_source()
        self.world.truth.published()
        self.world.reconciler.refresh_registry()
        self.resume()

    def recover(self) -> None:
        """Let what crashed come back, in half of the stories: it may be gone for good. Single pods always do."""
        for_good = self.tape.byte() >= 128
        for key in self.world.serving.live:
            (self.world.serving.refill if for_good else self.world.serving.recover)(key)

    def go_on(self) -> None:
        """Let what was begun go on for a while; a freeze that is over and over again never lets it end."""
        for _ in range(BEGINNING):
            if not self.world._round(self.names) and not self.world._wait(self.names):
                break

    def rest(self) -> None:
        """Come to rest within a bounded number of rounds."""
        self.world.settle(*self.names)

    def quiet(self) -> None:
        """Hold that nothing is written at rest, and that what is there is what Git says, or it is told why not."""
        world = self.world
        before = (world.registry.writes, world.serving.writes, len(world.ledger.records))
        for _ in range(QUIET_PASSES):
            for name in self.names:
                acted = world.one_pass(name)
                assert not acted, f"I8: {name} is at rest, but {acted}"
                self.see(name)
            world.now += timedelta(minutes=5)
        after = (world.registry.writes, world.serving.writes, len(world.ledger.records))
        assert before == after, f"I8: written at rest: {before} {after}"
        for name in self.names:
            self._ended(name)

    def _ended(self, name: str) -> None:
        state = self.world.source.published
        desired = state.models.get(name) if state else None
        status = self.world.status(name)
        if desired is None:
            assert name not in self.world.source.specs
            assert status is None, f"{name} was let go, but has a status"
            return
        observer: Observer = self.world.observer
        observed = observer.observe(desired, self.world.now)
        wishes = self.world.reconciler._wishes
        assert wishes is not None
        rules = wishes.rules
        first = decide(desired, observed, rules, self.world.now)
        again = decide(replace(desired), observed, rules, self.world.now)
        assert first == again, f"I8: {name}: deciding twice differs"
        assert status is not None
        told = status.conditions.stalled.message or status.blocked_by
        untrained = not (desired.spec.training or status.registry) and "passes its gates" in status.waits_for
        waits = "approval" in status.waits_for or untrained or self._crashed(name)
        assert status.sync == "Synced" or told or waits, f"{name} is stuck: {status.phase} {status.waits_for!r}"
        disputed = status.conditions.stalled.reason in DISPUTED
        if status.sync == "Synced" or not (status.blocked_by or "paused" in told or disputed or self._crashed(name)):
            self._tidy(name)

    def _crashed(self, name: str) -> bool:
        """Tell whether what was deployed first, or restored, lost its pods for good, and is told so."""
        status = self.world.status(name)
        gone = any(live.down for key, live in self.world.serving.live.items() if key[1] == name)
        held = status is not None and status.phase in ("Deploying", "RollingBack")
        return gone and held and status is not None and status.health in ("Degraded", "Suspended")

    def _tidy(self, name: str) -> None:
        """Hold that no rollout is left over and that the version in Production has all traffic."""
        model = self.world.registry.models.get(name)
        versions = model.versions if model else ()
        open_rollouts = [v.version for v in versions if TAG_ROLLOUT in v.tags]
        assert not open_rollouts, f"{name}: rollouts left on record: {open_rollouts}"
        named = [live for key, live in self.world.serving.live.items() if key[1] == name]
        services = [live for live in named if is_ours(live)]  # what somebody else made is left alone
        assert len(services) <= 1, f"{name} is served {len(services)} times"
        for live in services:
            assert live.percent is None, f"{name}: a split is left over"
            keys = [key for key, x in self.world.serving.live.items() if x is live]
            shares = self.world.serving.shares(keys[0])
            assert len(shares) <= 1, f"{name}: traffic is split: {shares}"
            production = production_of(model) if model else None
            if shares and (production is not None or not live.down):  # it may have crashed before it was promoted
                assert production is not None, f"{name}: {shares} is served, nothing is in Production"
                assert shares == {production.version: 100}, f"{name}: {shares}, but Production is {production.version}"
            staged = [v.version for v in versions if role(v) is Stage.STAGING]
            assert not staged, f"{name}: left in Staging: {staged}"


def run(data: bytes, rounds: int = 150) -> Chaos:
    """Run a tape."""
    chaos = Chaos(Tape(data))
    chaos.run(rounds)
    return chaos
