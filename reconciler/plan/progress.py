"""How far a candidate is, as its object shows it. Pure."""

from __future__ import annotations

from dataclasses import replace

from reconciler.observed import InferenceService
from reconciler.plan.decision import Decision, stall, wait
from reconciler.plan.facts import is_stable, revision_release, settled, sole_release
from reconciler.plan.marks import RolloutRecord
from reconciler.status import Health, Phase


def candidate_ready(live: InferenceService, record: RolloutRecord) -> bool:
    """Return whether the newest revision is the candidate's and ready."""
    newest = live.latest_created
    return (
        settled(live)
        and newest is not None
        and newest not in live.unready
        and not is_stable(live, newest, record)
        and revision_release(live, newest, record) == record.release
    )


def crashed(live: InferenceService) -> bool:
    """Return whether the newest revision was ready and is not any more: no other share takes effect meanwhile."""
    return not live.standard and settled(live) and live.latest_created in live.unready


def cut_short(live: InferenceService, record: RolloutRecord) -> bool:
    """Return whether the candidate crashed between the removal of the split and its taking effect."""
    return live.canary_percent is None and crashed(live) and sole_release(live, record) != record.release


def effective_percent(live: InferenceService) -> int:
    """Return what the newest revision gets."""
    return sum(t.percent for t in live.traffic if t.revision == live.latest_created)


def ill(live: InferenceService) -> bool:
    """Return whether something keeps it from serving; whoever scales out, or is replaced while others serve, is not."""
    return live.failure is not None or any(t.percent > 0 and t.revision in live.unready for t in live.traffic)


def cause(live: InferenceService) -> str:
    """Write why a revision does not become ready, `: pulling the image`; empty where nobody says."""
    why = (live.failure.message or live.failure.reason) if live.failure else live.message
    return f": {why}" if why else ""


def settling(live: InferenceService, before: str, phase: Phase) -> Decision:
    """Wait for the live service to settle, and tell where it fails to."""
    what = f"the live service to settle before {before}"
    if live.failure is None:
        return wait(f"{what}{cause(live)}", phase, Health.DEGRADED if ill(live) else Health.PROGRESSING)
    undone = "what changed its pods to be undone, as a label of the object or its serving runtime, or them to start"
    return stall(f"{live.failure.reason}{cause(live)}", phase, f"{what}: {undone}")


def stalled_by(live: InferenceService, waiting: Decision) -> Decision:
    """Tell that progress stalls where a cause is known."""
    return replace(waiting, stalled=f"{live.failure.reason}{cause(live)}") if live.failure else waiting
