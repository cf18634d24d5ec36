"""What a benchmark found, and how it is shown."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from reconciler.cli.present import Cell, Column, Screen, Tone


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: `value` and `raw` in `unit`; `limit` is the largest ratio (with `raw`) or value that is accepted."""

    bench: str
    models: int
    what: str
    value: float
    unit: str
    raw: float | None = None
    raw_is: str = ""
    limit: float | None = None
    calls: str = ""

    @property
    def ratio(self) -> float | None:
        """Return the value against the raw one."""
        return self.value / self.raw if self.raw else None

    @property
    def kept(self) -> bool | None:
        """Return whether the limit is kept, None where there is none."""
        if self.limit is None:
            return None
        return (self.value if self.ratio is None else self.ratio) <= self.limit

    def as_json(self) -> dict[str, object]:
        """Return the row for programs."""
        return {
            "bench": self.bench,
            "models": self.models,
            "what": self.what,
            "value": round(self.value, 6),
            "unit": self.unit,
            "raw": None if self.raw is None else round(self.raw, 6),
            "rawIs": self.raw_is,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "limit": self.limit,
            "kept": self.kept,
            "calls": self.calls,
        }


def seconds(work: Callable[[], object]) -> float:
    """Return how long this takes once, beginning without garbage of what came before."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_seconds(work: Callable[[], object], times: int) -> float:
    """Return the median of several runs."""
    return median(seconds(work) for _ in range(times))


_COLUMNS = (
    Column("BENCH"),
    Column("MODELS", right=True),
    Column("WHAT"),
    Column("MEASURED", right=True),
    Column("RAW", right=True),
    Column("RATIO", right=True),
    Column("LIMIT", right=True),
    Column("KEPT"),
    Column("RAW IS"),
    Column("CALLS"),
)


def show(rows: Sequence[Row], screen: Screen) -> None:
    """Write the rows as one table."""
    screen.table(_COLUMNS, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str | Cell]:
    kept = {None: Cell(""), True: Cell("yes", Tone.GOOD), False: Cell("NO", Tone.BAD)}[row.kept]
    return [
        row.bench,
        f"{row.models:,}",
        row.what,
        _quantity(row.value, row.unit),
        "" if row.raw is None else _quantity(row.raw, row.unit),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.limit is None else f"{row.limit:g}" + ("" if row.ratio is not None else f" {row.unit}"),
        kept,
        row.raw_is,
        row.calls,
    ]


def _quantity(value: float, unit: str) -> str:
    digits = 0 if unit == "" or value >= 100 else 1 if value >= 10 else 3
    return f"{value:,.{digits}f} {unit}".rstrip()
