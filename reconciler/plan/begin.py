"""Begin to bring a release to callers: its first deployment, its rollout, and what keeps that from beginning. Pure."""

from __future__ import annotations

from dataclasses import replace

from reconciler.manifest import inherited, serving_fields
from reconciler.observed import InferenceService, Release
from reconciler.plan.action import Deploy, StageCandidate
from reconciler.plan.course import reverts
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.facts import Facts
from reconciler.plan.progress import cause, ill, settling, stalled_by
from reconciler.status import Health, Phase

NOT_ROUTED = "TrafficNotRouted"
INHERITS = "CanaryInherits"
NOT_SPLIT = "PartsNotSplit"


def deploy_first(facts: Facts, release: Release) -> Decision:
    """Serve a model that has no stable revision yet."""
    live = facts.live
    if live is None:
        why = f"because version {release.version} passed its gates and nothing is served"
        return act(Deploy(release), why, Phase.DEPLOYING, Health.MISSING)
    if live.release != release:
        return act(Deploy(release), f"because Git now wants {release} and nothing was proven yet", Phase.DEPLOYING)
    if live.failure is not None and live.failure.terminal:
        what = f"version {release.version} cannot be served: {live.failure.reason}: {live.failure.message}"
        return stall(what, Phase.DEPLOYING, "a commit that changes the predictor or the version")
    health = Health.DEGRADED if ill(live) else Health.PROGRESSING
    what = f"version {release.version} to become ready{cause(live)}"
    return stalled_by(live, wait(what, Phase.DEPLOYING, health))


def begin_rollout(live: InferenceService, stable: Release, release: Release) -> Decision:
    """Make the release the candidate; only while one revision has all traffic, and no newer one may take it."""
    serving = next((t.revision for t in live.traffic if t.percent == 100), None)
    if serving is None or live.canary_percent is not None or serving != live.latest_ready:
        return settling(live, "a rollout begins", Phase.DEPLOYING)
    action = StageCandidate(release, stable, serving)
    return act(action, f"because version {release.version} is wanted and version {stable.version} serves", Phase.CANARY)


def unsplittable(facts: Facts, live: InferenceService, stable: Release, release: Release) -> Decision | None:
    """Begin no rollout whose candidate would get other callers than its steps say, or is not what is promoted."""
    course = () if reverts(facts, stable, release) else facts.spec.rollout.course
    if not live.standard:
        return _parts_not_split(facts, stable, release) if course else None
    if not live.canaries:
        return no_canaries(release, Phase.DEPLOYING)
    if any(step.traffic for step in course) and not live.splits:
        return not_routed(release, 0, "no HTTPRoute leads to its service", Phase.DEPLOYING)
    before, after = facts.observed.records.get(stable), facts.spec.serving
    left = inherited(before.serving["predictor"], after.predictor) if before and after else ()
    if not left:
        return None
    what = f"version {release.version} is not rolled out: its canary would inherit {', '.join(left)} from {stable}"
    waits = f"a commit that says what {left[0]} is to be: KServe cannot unset it in a canary"
    if reverts(facts, stable, release):
        pinned = f'version: "{release.version}", {left[0]} as it is now and strategy: immediate'
        waits = f"{waits}. To go back at once, commit {pinned}"
    return replace(stall(what, Phase.DEPLOYING, waits), cause=INHERITS)


def _parts_not_split(facts: Facts, stable: Release, release: Release) -> Decision | None:
    """Stall where a transformer or explainer changed: KServe splits the predictor alone, and all callers pass these.

    Each of these parts could have a share of its own, but then a request could meet the old one of the one and the new
    one of the other, which nobody has proven together.
    """
    before, after = facts.observed.records.get(stable), facts.spec.serving
    if before is None or after is None:
        return None
    wanted = serving_fields(after)
    changed = [part for part in ("transformer", "explainer") if before.serving.get(part) != wanted.get(part)]
    if not changed:
        return None
    parts = " and ".join(changed)
    what = f"version {release.version} is not rolled out by steps: its {parts} changed, and all callers pass a new one"
    waits = f"strategy: immediate in Git for that change, or a commit that leaves the {parts} as in {stable}"
    return replace(stall(f"{what} at once", Phase.DEPLOYING, waits), cause=NOT_SPLIT)


def not_routed(release: Release, percent: int, why: str, phase: Phase) -> Decision:
    """Stall a canary that nobody sends callers to."""
    share = f"{percent} % of the" if percent else "its share of the"
    what = f"version {release.version} would never get {share} traffic: {why}"
    waits = "strategy: blueGreen in Git, or a KServe newer than v0.20.0 with ingress.enableGatewayApi: true"
    return replace(stall(what, phase, waits), cause=NOT_ROUTED)


def no_canaries(release: Release, phase: Phase) -> Decision:
    """Stall what would be rolled out by a KServe that keeps no canary."""
    what = f"version {release.version} cannot be rolled out in Standard mode: this KServe has no spec.canary"
    return replace(stall(what, phase, "a KServe from v0.20.0 on with its definitions"), cause=NOT_ROUTED)


def unmeasurable(facts: Facts, stable: Release, release: Release) -> Decision | None:
    """Begin no rollout whose checks nobody can measure; what takes no steps needs none."""
    asked = [c.name for c in facts.spec.rollout.analysis if c.prometheus is not None and not c.dry_run]
    stepless = not facts.spec.rollout.course or reverts(facts, stable, release)
    if not asked or not facts.observed.unmetered or stepless:
        return None
    what = f"version {release.version} is not rolled out: {', '.join(asked)} cannot be measured"
    return stall(f"{what}, as {facts.observed.unmetered}", Phase.DEPLOYING, "prometheus.url in the settings")
