"""A plan as the one comment of a pull request. Pure.

Text from a spec is never Markdown, HTML or a mention here. The comment has at most LONGEST characters: folded parts are
cut first, then what the table's cells say; its rows only where even their names do not fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reconciler.plan.action import Deploy, StageCandidate, Train
from reconciler.plan.proposal import REMOVALS, ModelPlan, Outcome, Proposal
from reconciler.plan.render_text import render_text, ways_text
from reconciler.plan.render_way import assumption
from reconciler.plan.render_words import about, canary, checked, gates, irreversible, value, versions_of
from reconciler.plan.spec_changes import FieldChange, Kind

LONGEST = 60_000
CELL, SHORT_CELL = 300, 40
LEAST_FOLDED = 500
CUT = "\n... cut: `reconciler plan` shows all of it\n"


def marker(environment: str) -> str:
    """Return the hidden text by which the comment is found again."""
    return f"<!-- model-reconciler plan {re.sub(r'[^A-Za-z0-9._-]', '-', environment)} -->"


def title(proposal: Proposal, environment: str) -> str:
    """Return one line with the counts, for the comment and the check."""
    named = f" ({environment})" if environment else ""
    said = ", ".join(f"{n} {outcome.value}" for outcome, n in proposal.counts.items()) or "nothing changes"
    problems = ", not whole" if proposal.failed else ""
    return f"reconciler plan{named}: {said}{problems}"


def render_markdown(proposal: Proposal, environment: str = "") -> str:
    """Return the whole comment."""
    head = f"{marker(environment)}\n## {escape(title(proposal, environment))}\n"
    before, after = [head], [*_warnings(proposal), *_problems(proposal), _on_merge(proposal)]
    foot = _foot(proposal)
    used = sum(map(len, (*before, *after, foot)))
    table = _table(proposal, LONGEST - used)
    folded = _folded(proposal, LONGEST - used - len(table))
    return "".join((*before, table, *after, *folded, foot))


def escape(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line, mentioning nobody."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    marked = re.sub(r"([\\|*`\[\]~])", r"\\\1", flat)
    marked = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", marked)
    # A zero-width space keeps @name and #7 from calling anybody or linking anything.
    return re.sub(r"([@#])(?=\w)", "\\1\u200b", marked)


def _table(proposal: Proposal, room: int) -> str:
    plans = (*proposal.changed, *proposal.waiting)
    if not plans:
        return ""
    table = ""
    for limit in (CELL, SHORT_CELL, 0):
        rows = [_row(plan, limit) for plan in plans]
        table = "".join((_HEAD, *rows, "\n"))
        if len(table) <= room:
            return table
    return _cut_rows([_row(plan, 0) for plan in plans], room)


_HEAD = "| Model | What happens | From -> to | Held by |\n|---|---|---|---|\n"


def _cut_rows(rows: Sequence[str], room: int) -> str:
    kept: list[str] = []
    left = room - len(_HEAD) - 100
    for row in rows:
        left -= len(row)
        if left < 0:
            break
        kept.append(row)
    return "".join((_HEAD, *kept, f"| ... | {len(rows) - len(kept):,} more models | | |\n\n"))


def _row(plan: ModelPlan, limit: int) -> str:
    cells = [_short(_from_to(plan), limit), _short(_held_by(plan), limit)] if limit else ["", ""]
    return f"| {escape(plan.name)} | {_what(plan)} | {' | '.join(map(escape, cells))} |\n"


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _what(plan: ModelPlan) -> str:
    if plan.outcome not in REMOVALS or plan.outcome is Outcome.LET_GO:
        return escape(plan.outcome.value)
    what = versions_of(plan, (v.version for v in plan.versions)) if plan.versions else ""
    return f"**{escape(f'{plan.outcome.value} {what}'.strip())}**"


def _from_to(plan: ModelPlan) -> str:
    changes = [_change(change, name) for change, name in zip(plan.changes, _named(plan.changes), strict=True)]
    if not changes and any(isinstance(action, Deploy) for action in plan.actions):
        return f"nothing -> {plan.desired.spec.serving.namespace if plan.desired.spec.serving else ''}/{plan.name}"
    return ", ".join(changes)


def _named(changes: Sequence[FieldChange]) -> list[str]:
    """Name each change as briefly as tells it from the others."""
    short = [change.name for change in changes]
    return [change.name if short.count(change.name) == 1 else change.path for change in changes]


def _change(change: FieldChange, name: str) -> str:
    match change.kind:
        case Kind.ADDED:
            return f"{name}: {value(change.after)} (new)"
        case Kind.REMOVED:
            return f"{name}: {value(change.before)} (removed)"
        case Kind.CHANGED:
            return f"{name} {value(change.before)} -> {value(change.after)}"


def _held_by(plan: ModelPlan) -> str:
    decision = plan.decision
    holding = decision.blocked_by.partition("; held up: ")[0] or decision.stalled
    if holding or not plan.actions:
        return holding or decision.waits_for
    proofs = [gates(plan)] if any(isinstance(action, Train) for action in plan.actions) else []
    if any(isinstance(action, StageCandidate) for action in plan.actions):
        proofs.append(checked(plan.desired.spec.rollout))
    return "; ".join(filter(None, proofs))


def _warnings(proposal: Proposal) -> list[str]:
    said = [sentence for plan in proposal.changed for sentence in irreversible(plan)]
    if not said:
        return []
    shown = said if len(said) <= 20 else [*said[:20], f"And {len(said) - 20} more of this kind."]
    return ["> [!WARNING]\n", *(f"> {escape(sentence)}\n" for sentence in shown), "\n"]


def _problems(proposal: Proposal) -> list[str]:
    if not proposal.diagnostics:
        return []
    shown = [
        f"> {p.severity.value} {p.code}: {escape(_short(p.message, CELL))} ({escape(p.path)}:{p.line})\n"
        for p in proposal.diagnostics[:20]
    ]
    more = len(proposal.diagnostics) - len(shown)
    return ["> [!CAUTION]\n", *shown, *([f"> and {more} more\n"] if more else []), "\n"]


def _on_merge(proposal: Proposal) -> str:
    sentences = list(dict.fromkeys(_consequences(proposal)))
    if not sentences:
        return "**On merge:** nothing happens.\n\n"
    said = "; ".join(sentences)
    length = f" About {about(proposal.took)} to convergence." if proposal.took else ""
    assumed = assumption(proposal.changed, proposal.assumptions)
    return f"**On merge:** {escape(said)}.{length}{' ' + escape(assumed) if assumed else ''}\n\n"


def _consequences(proposal: Proposal) -> Iterator[str]:
    for plan in proposal.changed:
        if plan.outcome in REMOVALS:
            yield {Outcome.LET_GO: f"{plan.name} is let go of"}.get(plan.outcome, f"{plan.name} is taken down")
        elif plan.decision.blocked_by:
            yield f"{plan.name} is held up by {plan.decision.blocked_by.partition('; held up: ')[0]}"
    trains = [plan for plan in proposal.changed if any(isinstance(a, Train) for a in plan.actions)]
    if trains:
        yield "training starts"
    for plan in proposal.changed:
        if any(isinstance(action, StageCandidate) for action in plan.actions):
            yield _takeover(plan)
        elif any(isinstance(action, Deploy) for action in plan.actions):
            yield "a first version is served only after its gates pass"


def _takeover(plan: ModelPlan) -> str:
    steps = plan.desired.spec.rollout.steps
    proof = "after its gates pass" if plan.desired.spec.promotion.gates else "once it is ready"
    if not steps:
        return f"the new version takes over only {proof}, {canary(plan.desired.spec.rollout)}"
    return f"the new version gets {steps[0].traffic} % of the traffic only {proof}"


def _folded(proposal: Proposal, room: int) -> Iterator[str]:
    if not proposal.changed and not proposal.waiting:
        return
    for summary, render in (("Full plan", render_text), ("Step by step", ways_text)):
        # Not even begun where nothing of it would be left: with thousands of models that takes seconds.
        text = render(proposal) if room > LEAST_FOLDED else ""
        block = _details(summary, text, room) if text else ""
        room -= len(block)
        yield block


def _details(summary: str, text: str, room: int) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    head, tail = f"<details><summary>{summary}</summary>\n\n{fence}text\n", f"{fence}\n\n</details>\n"
    space = room - len(head) - len(tail)
    if space < len(CUT):
        return ""
    if len(text) > space:
        text = text[: space - len(CUT)].rpartition("\n")[0] + CUT
    return head + text + tail


def _foot(proposal: Proposal) -> str:
    compared = proposal.compared
    assumed = f"; {escape(compared.assumed)}" if compared.assumed else ""
    return f"<sub>{escape(compared.what)} against {escape(compared.against)}, updated on push{assumed}</sub>\n"
