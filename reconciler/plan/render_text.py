"""A plan for people, line by line: intent first, then the change, the line that counts last. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from reconciler.plan.action import ArchiveAll, DeleteModel, Deploy, LetGo, RouteAll, StageCandidate, TakeDown, Train
from reconciler.plan.proposal import ModelPlan, Outcome, Proposal
from reconciler.plan.render_way import assumption, way_lines
from reconciler.plan.render_words import (
    about,
    canary,
    checked,
    gates,
    plural,
    sentence,
    service_of,
    summary,
    value,
    versions_of,
)
from reconciler.plan.spec_changes import FieldChange, Kind


class Role(StrEnum):
    """What a line is, for whoever colours it."""

    PLAIN = " "
    FAINT = "faint"
    INTENT = "#"
    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    HELD = "!"
    COUNT = "count"


class Show(StrEnum):
    """What is shown besides the changes: the whole way, or what has drifted."""

    WAY = "way"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plan."""

    text: str
    role: Role = Role.PLAIN


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a change: its symbol, what it is about, and what happens to it."""

    role: Role
    label: str
    said: str


LEGEND = {Role.ADD: "+ adds", Role.CHANGE: "~ changes", Role.REMOVE: "- removes", Role.HELD: "! holds it up"}
KINDS = {Kind.ADDED: Role.ADD, Kind.CHANGED: Role.CHANGE, Kind.REMOVED: Role.REMOVE}


def render_text(proposal: Proposal, show: frozenset[Show] = frozenset()) -> str:
    """Return the whole text."""
    return "".join(line.text + "\n" for line in text_lines(proposal, show))


def text_lines(proposal: Proposal, show: frozenset[Show] = frozenset()) -> list[Line]:
    """Return the lines of the whole text."""
    blocks = [_policy(proposal)] if proposal.policy else []
    blocks += [_block(plan, show) for plan in _shown(proposal, show)]
    lines = _head(proposal, show)
    for block in blocks:
        lines += [Line(""), *block]
    return [*lines, Line(""), *_foot(proposal, show, [line.role for block in blocks for line in block])]


def _shown(proposal: Proposal, show: frozenset[Show]) -> Iterable[ModelPlan]:
    drifted = proposal.drifted if Show.DRIFT in show else ()
    return (*proposal.changed, *proposal.waiting, *(plan for plan in drifted if plan not in proposal.changed))


def _head(proposal: Proposal, show: frozenset[Show]) -> list[Line]:
    compared = proposal.compared
    drifted = len(proposal.drifted)
    hidden = f"  (live drift in {plural(drifted, 'model')}: --show-drift)" if drifted and Show.DRIFT not in show else ""
    lines = [Line(f"Compared {compared.what} with {compared.against}{hidden}", Role.FAINT)]
    return [*lines, Line(compared.assumed, Role.FAINT)] if compared.assumed else lines


def _foot(proposal: Proposal, show: frozenset[Show], used: list[Role]) -> Iterator[Line]:
    legend = "   ".join(said for role, said in LEGEND.items() if role in used)
    if legend:
        yield Line(legend, Role.FAINT)
    assumed = assumption(proposal.changed, proposal.assumptions)
    if assumed and Show.WAY in show:
        yield Line(f"{assumed} Other times: --assume-training, --assume-ready.", Role.FAINT)
    yield Line(summary(proposal), Role.COUNT)


def _policy(proposal: Proposal) -> list[Line]:
    return [
        Line("  # the RepositoryPolicy changes, for every model", Role.INTENT),
        *_aligned([_field(change) for change in proposal.policy]),
    ]


def _block(plan: ModelPlan, show: frozenset[Show]) -> list[Line]:
    lines = [Line(f"  # {plan.name}: {sentence(plan)}", Role.INTENT)]
    why = _why(plan)
    if why:
        lines.append(Line(f"  #   {why}", Role.INTENT))
    rows = [*_removals(plan), *map(_field, plan.changes), *_new(plan), *_held(plan), *_lost(plan), *_then(plan)]
    if Show.DRIFT in show:
        rows += [Row(Role.CHANGE, field, "put back as Git says (live drift)") for field in plan.drift]
    lines += _aligned(rows)
    return [*lines, *_way(plan)] if Show.WAY in show and plan.actions else lines


def _why(plan: ModelPlan) -> str:
    if not plan.way.steps:
        return ""
    reason = plan.way.steps[0].reason
    return reason if reason.startswith("because ") else f"because {reason}"


def _aligned(rows: list[Row]) -> list[Line]:
    width = max((len(row.label) for row in rows), default=0)
    return [Line(f"  {row.role.value} {row.label:<{width}}  {row.said}".rstrip(), row.role) for row in rows]


def _field(change: FieldChange) -> Row:
    match change.kind:
        case Kind.ADDED:
            said = value(change.after)
        case Kind.REMOVED:
            said = value(change.before)
        case Kind.CHANGED:
            said = f"{value(change.before)} -> {value(change.after)}"
    return Row(KINDS[change.kind], change.path, said)


def _removals(plan: ModelPlan) -> Iterator[Row]:
    for action in plan.actions:
        match action:
            case TakeDown():
                yield Row(Role.REMOVE, f"service {service_of(plan)}", "callers get no answer any more")
            case ArchiveAll():
                yield Row(Role.REMOVE, versions_of(plan, action.versions), "can no longer be rolled back to")
            case DeleteModel():
                yield Row(
                    Role.REMOVE, versions_of(plan, (v.version for v in plan.versions)), "deleted; this cannot be undone"
                )
            case LetGo() if plan.outcome is Outcome.LET_GO:
                yield Row(Role.PLAIN, "service and versions", "stay, and nobody looks after them")
            case _:
                pass


def _new(plan: ModelPlan) -> Iterator[Row]:
    trains = any(isinstance(action, Train) for action in plan.actions)
    if trains:
        yield Row(Role.ADD, "version", "(known after training)")
    for action in plan.actions:
        match action:
            case Deploy():
                new = plan.live is None
                yield Row(
                    Role.ADD if new else Role.CHANGE, "service", f"{service_of(plan)}, {_version(action, trains)}"
                )
            case StageCandidate() if not trains:
                yield Row(Role.CHANGE, "version that serves", _from_to(plan, action))
            case _:
                pass


def _from_to(plan: ModelPlan, action: StageCandidate) -> str:
    was = plan.serving_version
    if was == action.release.version:
        return "the same, served anew" if plan.assumed else f"{was}, served anew"
    known = not plan.assumed or (plan.base is not None and plan.base.spec.promotion.version != "auto")
    return f"{was} -> {action.release.version}" if known else f"-> {action.release.version}"


def _version(action: Deploy, trains: bool) -> str:
    return "the new version" if trains else f"version {action.release.version}"


def _held(plan: ModelPlan) -> Iterator[Row]:
    decision = plan.decision
    if decision.blocked_by:
        yield Row(Role.HELD, "held up by", decision.blocked_by.partition("; held up: ")[0])
    if decision.stalled:
        yield Row(Role.HELD, "stuck", decision.stalled)
    if not plan.actions and decision.waits_for:
        yield Row(Role.PLAIN, "waits for", decision.waits_for)


def _lost(plan: ModelPlan) -> Iterator[Row]:
    for verdict in plan.decision.versions:
        if verdict.lost:
            yield Row(Role.PLAIN, f"version {verdict.version}", f"not used: {verdict.lost}")


def _then(plan: ModelPlan) -> Iterator[Row]:
    if plan.desired.removed or (plan.decision.blocked_by and not plan.actions):
        return
    if plan.outcome is Outcome.UPDATE:
        yield Row(Role.PLAIN, "then", "nothing now; it holds from the next version on")
        return
    if plan.desired.spec.promotion.gates and any(isinstance(action, Train) for action in plan.actions):
        yield Row(Role.PLAIN, "gates", gates(plan))
    if any(isinstance(action, StageCandidate | RouteAll) for action in plan.actions):
        yield Row(Role.PLAIN, "then", canary(plan.desired.spec.rollout))
        if checks := checked(plan.desired.spec.rollout):
            yield Row(Role.PLAIN, "checks", checks)
    if plan.actions and plan.way.took:
        yield Row(Role.PLAIN, "takes", f"about {about(plan.way.took)}{'' if plan.converges else ', then waits'}")
    if plan.actions and not plan.converges:
        yield Row(Role.PLAIN, "waits for", plan.way.last.waits_for or plan.way.last.blocked_by)


def ways_text(proposal: Proposal) -> str:
    """Return the whole ways alone."""
    plans = [plan for plan in proposal.changed if plan.actions]
    return "\n".join("".join(f"{line.text}\n" for line in (Line(plan.name), *_way(plan))) for plan in plans)


def _way(plan: ModelPlan) -> Iterator[Line]:
    lines = way_lines(plan)
    first, second = (max(len(line[i]) for line in lines) for i in (0, 1))
    yield Line("    the whole way, counted from the merge:")
    for after, what, why in lines:
        yield Line(f"    {after:>{first}}  {what:<{second}}  {why}".rstrip())
