"""Measure one check of a canary: the same requests to candidate and stable, side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.analysis.agreement import agreement, shapes
from reconciler.analysis.verdict import CheckVerdict, judge
from reconciler.desired.checks import MOST_REQUESTS, Check, InputFile, ProbeCheck
from reconciler.desired.question import question_of
from reconciler.ensure.job_check import measure_job
from reconciler.ensure.metric_check import measure_metrics
from reconciler.ensure.scene import After, Scene
from reconciler.ensure.sides import candidate_target
from reconciler.errors import ReconcilerError, Refused
from reconciler.manifest import probe_protocol, serving_fields
from reconciler.observed import InferenceService, JobRun, Measurement, Metered, Metering, Release, Side, TrafficTarget
from reconciler.plan.action import Analyse
from reconciler.plan.evidence import evidence_of
from reconciler.plan.facts import previous_target
from reconciler.plan.marks import moment
from reconciler.ports import ProbeTarget
from reconciler.status import plain


@dataclass(frozen=True, slots=True)
class Inputs:
    """Rows to send, and what is expected of each, if that is known."""

    rows: Sequence[Any]
    expected: Sequence[Any] | None


def ensure_analysed(action: Analyse, scene: Scene) -> After:
    """Measure; a check that cannot be made is written down as such and counts as no measurement.

    Raises Transient where an abort cut it off: what it would have found is not known, so nothing is written down.
    """
    check = next((c for c in scene.desired.spec.rollout.analysis if c.name == action.check), None)
    if check is None:
        raise Refused(f"the spec has no check {action.check} any more")
    try:
        measured = _measure(action, check, scene)
    except ReconcilerError as error:
        nothing = Side(0, 0)
        measured = Measurement(
            check.name, action.release, action.step, scene.now, nothing, nothing, error=error.message
        )
    if measured.error is not None:
        scene.unless_aborted()
    measured = replace(measured, question=question_of(check, scene.desired.files), ended=scene.systems.clock())
    return {**to_json(measured), "verdict": plain(_verdict(check, scene, measured).as_json())}


def _verdict(check: Check, scene: Scene, measured: Measurement) -> CheckVerdict:
    """Judge the running step with this measurement."""
    rollout = scene.facts.rollout
    made = evidence_of(scene.facts, check, measured.release, measured.step)
    return judge(check, (*(m for m in made if rollout is None or m.at >= rollout.since), measured))


def _measure(action: Analyse, check: Check, scene: Scene) -> Measurement:
    if check.prometheus is not None:
        return measure_metrics(action, check, check.prometheus, scene)
    if check.probe is not None:
        return _probe(action, check, check.probe, scene)
    if check.job is not None:
        return measure_job(action, check, check.job, scene)
    raise Refused(f"check {check.name} has no kind")


def _probe(action: Analyse, check: Check, probe: ProbeCheck, scene: Scene) -> Measurement:
    live = scene.live()
    inputs = _inputs(probe, action.release, scene)
    candidate = _target(scene, live, candidate_target(scene), "latest")
    stable = _target(scene, live, previous_target(live), "prev")
    requests = _requests(probe, inputs)
    ours = scene.systems.prober.probe(candidate, inputs.rows, requests, scene.unless_aborted)
    theirs = scene.systems.prober.probe(stable, inputs.rows, requests, scene.unless_aborted)
    _hold_to_every_row(probe, inputs, ours.side, theirs.side)
    compared, agreed = _compare(probe, inputs, ours.answers, theirs.answers)
    at = scene.systems.clock()
    measured = Measurement(check.name, action.release, action.step, at, ours.side, theirs.side, compared, agreed)
    if probe.schema_ is None:
        return measured
    shaped, same = shapes(ours.answers, theirs.answers)
    return replace(measured, shape_compared=shaped, shape_agreed=same)


def _requests(probe: ProbeCheck, inputs: Inputs) -> int:
    """Return how many requests each side gets: golden inputs are sent as a whole, an example in part."""
    return max(probe.requests, len(inputs.rows)) if isinstance(probe.inputs, InputFile) else probe.requests


def _hold_to_every_row(probe: ProbeCheck, inputs: Inputs, ours: Side, theirs: Side) -> None:
    """Refuse to judge by a part of the golden inputs; a candidate that fails by that part already fails."""
    sent, rows = min(ours.requests, theirs.requests), len(inputs.rows)
    failing = ours.errors > probe.max_error_rate * ours.requests
    if isinstance(probe.inputs, InputFile) and sent < rows and not failing:
        raise Refused(
            f"{probe.inputs.file}: only {sent} of {rows} rows were sent in the time that a probe has",
            help="take rows out of the file; each of them is sent to both sides at every interval",
        )


def _target(scene: Scene, live: InferenceService, target: TrafficTarget | None, tag: str) -> ProbeTarget:
    serving = scene.desired.spec.serving
    if target is None or target.url is None or serving is None:
        raise Refused(
            f"the route of {live.namespace}/{live.name} has no address tagged {tag}",
            help='the annotation serving.kserve.io/enable-tag-routing: "true" gives it one',
        )
    return ProbeTarget(target.url, live.name, probe_protocol(serving_fields(serving)))


def _inputs(probe: ProbeCheck, release: Release, scene: Scene) -> Inputs:
    if isinstance(probe.inputs, InputFile):
        return read_inputs(probe.inputs.file, scene.desired.files.get(probe.inputs.file, b""))
    rows = scene.systems.registry.input_rows(scene.name, release.version)
    if not rows:
        raise Refused(
            f"version {release.version} of {scene.name} has no input example",
            help="log the model with input_example=, or name a file: inputs: {file: probes/rows.json}",
        )
    return Inputs(rows, None)


def read_inputs(path: str, content: bytes) -> Inputs:
    """Read a probe file: {"inputs": [row, ...], "expected": [answer, ...]}. Raises Refused with what is expected."""
    try:
        raw: Mapping[str, Any] = json.loads(content)
        rows, expected = raw["inputs"], raw.get("expected")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(f'{path}: not a probe file: expected {{"inputs": [[...]], "expected": [...]}}') from error
    answered = expected is None or (isinstance(expected, list) and len(expected) == len(rows))
    if not isinstance(rows, list) or not rows or not answered:
        raise Refused(f"{path}: `inputs` must be rows, and `expected`, if there, one answer for each of them")
    if len(rows) > MOST_REQUESTS:
        raise Refused(f"{path}: `inputs` has {len(rows)} rows, and all are sent each interval: at most {MOST_REQUESTS}")
    return Inputs(rows, expected)


def _compare(probe: ProbeCheck, inputs: Inputs, ours: Sequence[Any], theirs: Sequence[Any]) -> tuple[int, int]:
    if probe.agreement is None:
        return 0, 0
    reference = theirs
    if probe.agreement.with_ == "expected":
        if inputs.expected is None:
            raise Refused("agreement with expected answers needs `expected` in the probe file")
        reference = [inputs.expected[i % len(inputs.expected)] for i in range(len(ours))]
    return agreement(ours, reference, probe.agreement.tolerance, probe.agreement.absolute_tolerance)


def to_json(measured: Measurement) -> dict[str, Any]:
    """Write a measurement for the ledger."""
    value: dict[str, Any] = plain(measured)
    del value["forgotten"]  # what is on the ledger is not forgotten there
    return {**value, "release": str(measured.release)}


def from_json(value: Mapping[str, Any]) -> Measurement | None:
    """Read a measurement from the ledger, also one of an older release; None for anything else."""
    try:
        release = Release.parse(value["release"])
        if release is None:
            return None
        return Measurement(
            str(value["check"]),
            release,
            _count(value["step"]),
            moment(value["at"]),
            _side(value["candidate"]),
            _side(value["stable"]),
            _count(value["compared"]),
            _count(value["agreed"]),
            None if value["error"] is None else str(value["error"]),
            None if value["metering"] is None else _metering(value["metering"]),
            _count(value["shapeCompared"]),
            _count(value["shapeAgreed"]),
            None if value["job"] is None else _job(value["job"]),
            str(value.get("question", "")),
            None if value.get("ended") is None else moment(value["ended"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _side(value: Mapping[str, Any]) -> Side:
    latencies = tuple(float(latency) for latency in value["latenciesMs"])
    if not all(math.isfinite(latency) for latency in latencies):
        raise ValueError("a latency is no number")
    return Side(_count(value["requests"]), _count(value["errors"]), latencies)


def _job(value: Mapping[str, Any]) -> JobRun:
    code = value["exitCode"]
    return JobRun(str(value["name"]), None if code is None else _count(code))


def _metering(value: Mapping[str, Any]) -> Metering:
    seconds = _finite(value["windowSeconds"])
    return Metering(_metered(value["candidate"]), _metered(value["stable"]), seconds)


def _metered(value: Mapping[str, Any]) -> Metered:
    number, samples = value["value"], value["samples"]
    return Metered(
        str(value["query"]),
        None if number is None else _finite(number),
        None if samples is None else _count(samples),
        str(value["why"]),
        str(value.get("countQuery", "")),
    )


def _finite(value: object) -> float:
    """Read a number; what is none must not stand for one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"no finite number: {value!r:.40}")
    return float(value)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"no count: {value!r:.40}")
    return value
