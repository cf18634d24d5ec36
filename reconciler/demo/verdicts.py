"""What the checks of a rollout say, as they come: value, stable's value, limit, samples, verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from reconciler.analysis.finding import number
from reconciler.cli.present import one_line
from reconciler.ports import Entry, Moment

WIDEST = 100
Json = Mapping[str, Any]
_MARKS = {
    "pass": ("✔ pass", "green"),
    "fail": ("✖ fail", "bold red"),
    "inconclusive": ("? inconclusive", "yellow"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """Where a rollout stood when its checks were made."""

    version: str
    number: int


@dataclass(slots=True)
class Verdicts:
    """What the ledger's measurements say, by model: of the newest step of which there are any."""

    _steps: dict[str, Step] = field(default_factory=dict)
    _held: dict[str, dict[str, Json]] = field(default_factory=dict)

    def take(self, entry: Entry) -> str | None:
        """Take over a measurement; return a sentence where it says something new of its step."""
        verdict = entry.after.get("verdict")
        if entry.action != "Analyse" or entry.moment is not Moment.OUTCOME or not isinstance(verdict, Mapping):
            return None
        step = Step(str(entry.after["release"]).partition("-")[0], int(entry.after["step"]))
        if self._steps.get(entry.model) != step:
            self._steps[entry.model], self._held[entry.model] = step, {}
        held = self._held[entry.model]
        before = held.get(verdict["check"])
        held[verdict["check"]] = verdict
        if before is not None and before["verdict"] == verdict["verdict"]:
            return None
        mark, _ = _MARKS[verdict["verdict"]]
        return f"{entry.model}: check {verdict['check']} {mark}, {one_line(verdict['why'])}"

    def table(self, model: str) -> RenderableType | None:
        """Draw what is held of a model, None where that is nothing."""
        step = self._steps.get(model)
        if step is None:
            return None
        title = f"  CHECKS OF VERSION {step.version}, STEP {step.number}"
        return Constrain(_table(title, list(self._held[model].values())), WIDEST)


def _table(title: str, verdicts: Sequence[Json]) -> Table:
    """Draw one row a finding; a check that found nothing says why."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    drawn.add_column(title, overflow="ellipsis", no_wrap=True, ratio=1)
    for name in ("CANDIDATE", "STABLE", "LIMIT", "SAMPLES"):
        drawn.add_column(name, no_wrap=True, justify="right")
    drawn.add_column("VERDICT", no_wrap=True)
    for verdict in verdicts:
        for row in _rows(verdict):
            drawn.add_row(*row)
    return drawn


def _rows(verdict: Json) -> Iterator[tuple[str | Text, ...]]:
    name = f"  {one_line(verdict['check'])}"
    if not verdict["findings"]:
        yield f"{name}: {one_line(verdict['why'])}", "", "", "", f"{verdict['samples']:,}", _mark(verdict["verdict"])
    for finding in verdict["findings"]:
        yield (
            f"{name}: {one_line(finding['what'])}",
            _value(finding["measured"], finding["unit"]),
            _value(finding["stable"], finding["unit"]),
            f"{finding['operator']} {_value(finding['limit'], finding['unit'])}",
            f"{finding['samples']:,}",
            _mark(_said(verdict, finding)),
        )


def _said(verdict: Json, finding: Json) -> str:
    """Return the verdict; of a check that fails, only what breaks its limit does."""
    return "pass" if verdict["verdict"] == "fail" and finding["holds"] else str(verdict["verdict"])


def _mark(verdict: str) -> Text:
    words, style = _MARKS.get(verdict, (verdict, ""))
    return Text(words, style=style)


def _value(value: float | str | None, unit: str) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else number(value, unit)
