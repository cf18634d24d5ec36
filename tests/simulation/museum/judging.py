"""Bugs in what is wanted: gates, selection, approval, guards, and what is Unknown."""

# ruff: noqa: ARG005  what is planted keeps the signature of what it replaces

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from reconciler import observe
from reconciler.analysis import verdict
from reconciler.ensure import analysis
from reconciler.errors import ReconcilerError
from reconciler.gates import version as gates
from reconciler.gates.version import GateResult
from reconciler.observed import TAG_GATES, Known, Unknown
from reconciler.plan import facts, planner, removal, selection
from tests.simulation.museum.planting import Bug, Patch


def _nan_passes(sound: Any) -> Any:
    def threshold(gate: Any, metrics: Any) -> GateResult:
        value = metrics.get(gate.metric)
        if value is None or (gate.min is not None and value < gate.min):
            return GateResult(gate.metric, passed=False, said="too low")
        return GateResult(gate.metric, passed=math.isnan(value) or sound(gate, metrics).passed, said="fine")

    return threshold


def _missing_passes(sound: Any) -> Any:
    def threshold(gate: Any, metrics: Any) -> GateResult:
        if gate.metric not in metrics:
            return GateResult(gate.metric, passed=True, said="there is nothing to compare")
        answer: GateResult = sound(gate, metrics)
        return answer

    return threshold


def _one_gate_of(sound: Any) -> Any:
    return lambda gate, candidate, production: replace(sound(gate, candidate, production), passed=True)


def _wrong_way(sound: Any) -> Any:
    def regression(gate: Any, candidate: Any, production: Any) -> GateResult:
        return sound(gate, production, candidate) if production else sound(gate, candidate, None)  # type: ignore[no-any-return]  # the sound one's answer

    return regression


def _any_pass(sound: Any) -> Any:
    return lambda seen, version: sound(seen, version) or version.tags.get(TAG_GATES, "").startswith("passed ")


def _unpinned(sound: Any) -> Any:
    def candidates(desired: Any, registered: Any) -> Any:
        found = sound(desired, registered)
        return found or (registered.versions[-1:] if registered else ())

    return candidates


def _known(sound: Any, nothing: Any) -> Any:
    def read(self: Any, *asked: Any) -> Any:
        reading = sound(self, *asked)
        return Known(nothing, self.systems.clock()) if isinstance(reading, Unknown) else reading

    return read


def _no_objects(sound: Any) -> Any:
    def read(self: Any, desired: Any) -> Any:
        reading, strays = sound(self, desired)
        return (Known(None, self.systems.clock()) if isinstance(reading, Unknown) else reading), strays

    return read


def _old_picture(sound: Any) -> Any:
    del sound
    return lambda self, error: None


def _breach_passes(sound: Any) -> Any:
    return lambda check, measured: (
        replace(v, verdict=verdict.Verdict.PASS) if (v := sound(check, measured)).verdict is verdict.Verdict.FAIL else v
    )


def _unsure_passes(sound: Any) -> Any:
    return lambda check, measured: (
        replace(v, verdict=verdict.Verdict.PASS)
        if (v := sound(check, measured)).verdict is verdict.Verdict.INCONCLUSIVE
        else v
    )


def _first_asked(sound: Any) -> Any:
    """Ask stable for both sides."""
    return lambda scene, live, target, tag: sound(scene, live, facts.previous_target(live) or target, tag)


BUGS = (
    Bug("nan-opens-the-gate", "A metric that is NaN passes its threshold, as it is not below it.", "I1",
        (Patch(gates, "_threshold", _nan_passes),)),
    Bug("missing-metric-passes", "A metric that was never logged passes its threshold.", "I1",
        (Patch(gates, "_threshold", _missing_passes),)),
    Bug("gate-not-asked", "Every gate is said to be passed.", "I1", (Patch(gates, "check_gate", _one_gate_of),)),
    Bug("regression-wrong-way", "Production is held against the candidate instead of the other way round.", "I1",
        (Patch(gates, "_regression", _wrong_way),)),
    Bug("any-pass-counts", "A version that passed other gates than those in force need not be asked again.", "I1",
        (Patch(selection, "on_record", _any_pass),)),
    Bug("production-is-anyone", "The newest version stands for the one in Production in the gates.", "I1 liveness",
        (Patch(selection, "production_of", lambda _: lambda registered: (
            registered.versions[-1] if registered and registered.versions else None)),)),
    Bug("pin-not-found-means-newest", "Where the version that Git names is missing, the newest one is taken.", "I1",
        (Patch(selection, "candidates", _unpinned),)),
    Bug("oldest-first", "Candidates are walked from the oldest to the newest.", "liveness I1 I7",
        (Patch(selection, "candidates", lambda sound: lambda *a: sound(*a)[::-1]),)),
    Bug("approval-not-awaited", "A version is rolled out before Git names it, where Git wants to approve it.", "I1",
        (Patch(planner, "_approved", lambda _: lambda seen, selected: selected.version),)),
    Bug("rejection-forgotten", "A version that was rolled back is tried again.", "I7 liveness",
        (Patch(facts.Facts, "rejected", lambda _: lambda self, release: None),)),
    Bug("suspension-ignored", "Actions begin although the spec is suspended.", "suspended",
        (Patch(planner, "_block", lambda _: lambda seen, rules, frozen, action: (
            rules.removal_guard if seen.desired.removed else frozen)),)),
    Bug("suspension-holds-the-rollback", "A candidate that fails keeps its callers while the spec is suspended.", "I2",
        (Patch(planner, "always_allowed", lambda _: lambda action: False),)),
    Bug("guard-ignored", "More models than the policy allows are taken down at once.", "I4",
        (Patch(removal, "removal_guard", lambda _: lambda state, served: ""),)),
    Bug("guard-counts-share-alone", "The guard lets go whatever is less than the share, however it is counted.", "I4",
        (Patch(removal, "removal_guard", lambda sound: lambda state, served: (
            "" if any(not m.removed for m in state.models.values()) else sound(state, served))),)),
    Bug("unknown-registry-is-empty", "A registry that does not answer is taken for an empty one.", "I5 I3 removal",
        (Patch(observe.Observer, "_registered", lambda sound: _known(sound, None)),)),
    Bug("unknown-serving-is-absent", "While the watch is broken, nothing is believed to be served.",
        "I1 I2 I3 removal liveness", (Patch(observe.Observer, "_serving", _no_objects),)),
    Bug("unknown-runs-are-none", "Training runs that cannot be read are taken for none.", "I5 removal liveness",
        (Patch(observe.Observer, "_runs", lambda sound: _known(sound, ())),)),
    Bug("unknown-ledger-is-empty", "Where the ledger cannot be read, no rollback is remembered.", "I7 I2",
        (Patch(observe, "rejections", lambda sound: lambda ledger, name: _or_empty(sound, ledger, name)),)),
    Bug("evidence-failure-cached", "Evidence that could not be read once is never read again.", "liveness",
        (Patch(observe.Observer, "_read_evidence", lambda sound: lambda self, name, version, now: (
            cached.reading if (cached := self._evidence.get((name, version.version))) else sound(
                self, name, version, now))),)),
    Bug("breach-passes", "A check whose limit is breached is said to be passed.", "I2",
        (Patch(verdict, "judge", _breach_passes),)),
    Bug("no-samples-pass", "A check that could not be made, or has too few samples, is said to be passed.", "I2",
        (Patch(verdict, "judge", _unsure_passes),)),
    Bug("stable-probed-twice", "The stable revision is asked in the candidate's place.", "I2",
        (Patch(analysis, "_target", _first_asked),)),
)  # fmt: skip


def _or_empty(sound: Any, ledger: Any, name: str) -> Any:
    try:
        return sound(ledger, name)
    except ReconcilerError:
        return ()
