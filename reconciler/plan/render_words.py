"""The words of a plan: what an action does, what a gate asks, how long things take. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, assert_never

from reconciler.analysis.verdict import describe_limits
from reconciler.desired.documents import Gate, MetricGate, Rollout, SignatureGate, TagGate
from reconciler.desired.holds import describe_hold
from reconciler.observed import Release
from reconciler.plan.action import (
    Action,
    Adopt,
    Analyse,
    Archive,
    ArchiveAll,
    BeginStep,
    CutTraffic,
    DeleteModel,
    Deploy,
    FinishRollback,
    LetGo,
    Promote,
    PutBack,
    RecordGates,
    Reject,
    RestoreStable,
    RouteAll,
    ScaleCanary,
    ShiftTraffic,
    StageCandidate,
    StartCanary,
    StopTraining,
    TakeDown,
    Train,
    Withdraw,
)
from reconciler.plan.forecast import Forecast
from reconciler.plan.proposal import ModelPlan, Outcome, Proposal

LONGEST_VALUE = 100

SENTENCES = {
    Outcome.DELETE: "will be deleted",
    Outcome.ARCHIVE: "will be taken down and archived",
    Outcome.LET_GO: "will be let go of; everything stays as it is",
    Outcome.TAKE_DOWN: "will no longer be served there",
    Outcome.ROLL_BACK: "will be rolled back",
    Outcome.TRAIN: "will be trained for the first time",
    Outcome.RETRAIN: "will be retrained",
    Outcome.DEPLOY: "will be deployed",
    Outcome.ROLL_OUT: "will be rolled out",
    Outcome.TIDY: "will be tidied up in the registry",
    Outcome.ADD: "will be taken over",
    Outcome.UPDATE: "changes, with nothing to do now",
    Outcome.WAIT: "waits",
    Outcome.PUT_BACK: "has drifted and will be put back",
    Outcome.NOTHING: "is as Git says",
}


def sentence(plan: ModelPlan) -> str:
    """Say what happens to a model, after its name."""
    if not plan.actions and plan.decision.blocked_by:
        return "is held up, nothing happens yet"
    if plan.outcome is Outcome.WAIT and plan.desired.stale:
        return "keeps the last spec that could be used"
    return SENTENCES[plan.outcome]


def plural(count: int, word: str) -> str:
    """Write a count with its word: 1 model, 2 models."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def about(length: timedelta) -> str:
    """Write a length of time as people say it, in at most two units: 45 s, 12 min, 1 h 10 min, 3 d."""
    seconds = round(length.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        minutes, rest = divmod(seconds, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    large, small = ((86_400, "d"), (3_600, "h")) if seconds >= 86_400 else ((3_600, "h"), (60, "min"))
    count, rest = divmod(seconds, large[0])
    second = rest // small[0]
    return f"{count} {large[1]} {second} {small[1]}" if second else f"{count} {large[1]}"


def value(found: Any) -> str:
    """Write a value of a spec in one short line."""
    text = found if isinstance(found, str) else json.dumps(_short(found), ensure_ascii=False, sort_keys=True)
    text = " ".join(text.split()) or '""'
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _short(found: Any) -> Any:
    """Return numbers as people wrote them: 60, not 60.0."""
    return int(found) if isinstance(found, float) and found.is_integer() else found


def gate(rule: Gate) -> str:
    """Write what a gate asks for."""
    match rule:
        case MetricGate(against=None):
            limits = [f"{sign} {limit:g}" for sign, limit in ((">=", rule.min), ("<=", rule.max)) if limit is not None]
            return f"{rule.metric} {' and '.join(limits)}"
        case MetricGate():
            return f"{rule.metric} at most {rule.max_regression or 0:g} worse than production"
        case TagGate():
            return f"tag {rule.tag} = {rule.equals}"
        case SignatureGate():
            return "signature compatible with production"
    assert_never(rule)


def gates(plan: ModelPlan) -> str:
    """Write what a new version of the model must prove."""
    return ", ".join(map(gate, plan.desired.spec.promotion.gates))


def canary(rollout: Rollout) -> str:
    """Write how a new version takes over."""
    if not rollout.course:
        return "100 % once it is ready"
    if rollout.strategy == "blueGreen":
        return f"0 % {describe_hold(rollout.course[0].hold)} and its checks, then 100 % at once"
    steps = ", ".join(f"{step.traffic} % {describe_hold(step.hold)}" for step in rollout.steps)
    return f"canary {steps}, then 100 %"


def checked(rollout: Rollout) -> str:
    """Write what each check asks for, and how often; "" where nothing is asked in any step."""
    steps = len(rollout.course)
    asked = [f"{c.name}: {describe_limits(c)}" for c in rollout.analysis]
    if not asked or not steps:
        return ""
    return f"{'; '.join(asked)}{f', at each of {steps} steps' if steps > 1 else ''}"


def counts(proposal: Proposal) -> str:
    """Count what changes: `1 to retrain, 1 to archive`, or `nothing changes`."""
    return ", ".join(f"{n} to {outcome.value}" for outcome, n in proposal.counts.items()) or "nothing changes"


def summary(proposal: Proposal) -> str:
    """Write the line that counts."""
    waits, rest = len(proposal.waiting), proposal.unchanged
    also = f" {plural(waits, 'model')} {'waits' if waits == 1 else 'wait'}." if waits else ""
    if proposal.changed:
        unchanged = f" Nothing else changes ({plural(rest, 'model')})." if rest else ""
        return f"Plan: {counts(proposal)}.{also}{unchanged}"
    policy = " The policy changes." if proposal.policy else ""
    are = f" {plural(rest, 'model')} {'is' if rest == 1 else 'are'} as Git says." if rest else ""
    return f"Plan: nothing to do.{policy}{also}{are}"


def irreversible(plan: ModelPlan) -> tuple[str, ...]:
    """Return what cannot be taken back once it is done, one sentence each."""
    name, service, found = plan.name, service_of(plan), []
    for action in plan.actions:
        match action:
            case DeleteModel():
                found.append(f"{name} and all its versions are deleted from the registry. This cannot be undone.")
            case ArchiveAll():
                found.append(f"Archiving removes the way back to {versions_of(plan, action.versions)} of {name}.")
            case TakeDown():
                found.append(f"Callers of {service or name} get no answer any more.")
            case _:
                pass
    return tuple(dict.fromkeys(found))


def service_of(plan: ModelPlan) -> str:
    """Name the InferenceService that serves the model now, or will; empty without one."""
    if plan.live is not None:
        return f"{plan.live.namespace}/{plan.live.name}"
    serving = plan.desired.spec.serving
    return f"{serving.namespace}/{plan.name}" if serving else ""


def versions_of(plan: ModelPlan, numbers: Iterable[int]) -> str:
    """Write the versions of a model that something happens to; all of them, where their numbers are not known."""
    return "every version" if plan.assumed else versions(numbers)


def versions(numbers: Iterable[int]) -> str:
    """Write version numbers: version 1, versions 1 and 2."""
    shown = [str(number) for number in numbers]
    if len(shown) < 2:
        return f"version {''.join(shown)}"
    return f"versions {', '.join(shown[:-1])} and {shown[-1]}"


def why(step: Forecast) -> str:
    """Return a step's reason without what was measured on the way: in a forecast nothing was."""
    reason = step.reason.removeprefix("because ")
    return reason.partition(" (")[0] if isinstance(step.action, ShiftTraffic | ScaleCanary | RouteAll) else reason


def say(action: Action) -> str:  # noqa: C901, PLR0911  one line an action
    """Write what an action does, as an order."""
    match action:
        case Train():
            return "train" if action.attempt == 1 else f"train again, attempt {action.attempt}"
        case StopTraining():
            return f"stop training run {action.run_id}"
        case RecordGates():
            return f"put the verdict on version {action.version} on record"
        case Promote():
            return f"version {action.version} becomes Production"
        case Archive():
            return f"archive version {action.version}"
        case Adopt():
            return f"take over the InferenceService that serves version {action.release.version}"
        case PutBack():
            return f"put back {', '.join(action.fields)}"
        case TakeDown():
            return f"delete the InferenceService in {action.namespace}"
        case ArchiveAll():
            return f"archive {versions(action.versions)}"
        case DeleteModel():
            return "delete the registered model with all its versions"
        case LetGo():
            return "let go of it"
        case _:
            return _say_traffic(action)


def _say_traffic(  # noqa: C901, PLR0911, PLR0912  one line an action
    action: Deploy | StageCandidate | StartCanary | ShiftTraffic | ScaleCanary | BeginStep | Analyse | RouteAll
    | CutTraffic | RestoreStable | FinishRollback | Reject | Withdraw,
) -> str:  # fmt: skip
    number = action.release.version
    match action:
        case Deploy():
            return f"deploy version {number} with all traffic"
        case StageCandidate():
            return f"make version {number} the candidate"
        case StartCanary():
            return f"start version {number} with 0 %"
        case ShiftTraffic():
            return f"give version {number} {action.percent} %"
        case ScaleCanary():
            return f"run version {number} with {action.pods} pods"
        case BeginStep():
            return f"begin step {action.step}"
        case Analyse():
            return f"measure {action.check}"
        case RouteAll():
            return f"give version {number} all traffic"
        case CutTraffic():
            return f"take version {number} to 0 %"
        case RestoreStable():
            return f"restore version {number}"
        case FinishRollback():
            return f"give version {number} all traffic again"
        case Reject():
            return f"mark version {number} rejected"
        case Withdraw():
            return f"withdraw version {number}"
    assert_never(action)


def action_json(action: Action) -> dict[str, Any]:
    """Return an action as a JSON object; times are left out, for they say only when the plan was made."""
    fields = {f.name: getattr(action, f.name) for f in dataclasses.fields(action)}
    shown = {name: _json(found) for name, found in fields.items() if not isinstance(found, datetime)}
    return {"kind": type(action).__name__, **shown}


def _json(found: object) -> object:
    match found:
        case Release():
            return str(found)
        case tuple():
            return list(found)
        case _:
            return found
