"""What was measured, held against its limit, and the verdict that follows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The three verdicts."""

    PASS = "pass"  # noqa: S105  a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Compared:
    """The values of both sides that an increase is made of, in their own unit."""

    candidate: float
    stable: float
    unit: str

    def __str__(self) -> str:
        """Write both, such as `212 ms against stable's 140 ms`."""
        return f"{number(self.candidate, self.unit)} against stable's {number(self.stable, self.unit)}"

    def as_json(self) -> Mapping[str, Any]:
        """Return what the status and the ledger keep."""
        return {"candidate": self.candidate, "stable": self.stable, "unit": self.unit}


@dataclass(frozen=True, slots=True)
class Queries:
    """What was asked, with every variable filled in: of both sides, and how many requests the candidate answered."""

    candidate: str = ""
    stable: str = ""
    samples: str = ""


NO_QUERIES = Queries()


@dataclass(frozen=True, slots=True)
class Finding:
    """One limit held against one measured value; `measured` None means that there is nothing to compare yet.

    `needed` is how many samples it takes, where there are too few. An increase says what it was `compared` of.
    `unit` is share, ms, s, /s or nothing. `window` is what a query looked at, `source` where the number comes from.
    """

    what: str
    measured: float | None
    operator: str
    limit: float
    unit: str
    samples: int
    stable: float | None = None
    window: str = ""
    counted: str = "requests"
    source: str = ""
    queries: Queries = NO_QUERIES
    needed: int = 0
    compared: Compared | None = None

    @property
    def holds(self) -> bool | None:
        """Return whether the limit is kept; None when nothing was measured. NaN keeps no limit."""
        if self.measured is None:
            return None
        return self.measured <= self.limit if self.operator == "<=" else self.measured >= self.limit

    def __str__(self) -> str:
        """Write value, operator, limit and samples, such as `error rate 20 % > 1 % (20 requests)`."""
        if self.measured is None:
            few = self.samples and self.needed
            return f"{self.what}: {too_few(self.samples, self.needed)}" if few else f"{self.what}: nothing measured yet"
        operator = self.operator if self.holds else {"<=": ">", ">=": "<"}[self.operator]
        stable = "" if self.stable is None else f", stable {number(self.stable, self.unit)}"
        stable = stable if self.compared is None else f", {self.compared}"
        measured, limit = number(self.measured, self.unit), number(self.limit, self.unit)
        window = f" in {self.window}" if self.window else ""
        source = f" by {self.source}" if self.source else ""
        return f"{self.what} {measured} {operator} {limit} ({self.samples} {self.counted}{window}{stable}{source})"

    def as_json(self) -> Mapping[str, Any]:
        """Return what the status and the ledger keep."""
        return {
            "what": self.what,
            "measured": self.measured,
            "operator": self.operator,
            "limit": self.limit,
            "unit": self.unit,
            "stable": self.stable,
            "samples": self.samples,
            "needed": self.needed,
            "counted": self.counted,
            "window": self.window,
            "source": self.source,
            "query": self.queries.candidate,
            "stableQuery": self.queries.stable,
            "samplesQuery": self.queries.samples,
            "compared": self.compared.as_json() if self.compared else None,
            "holds": self.holds,
        }


def too_few(found: int, needed: int, of: str = "samples") -> str:
    """Say that so many samples are not enough yet."""
    return f"{found} of {needed} {of}, not counted yet"


def number(value: float, unit: str) -> str:
    """Write a value with its unit."""
    match unit:
        case "share":
            return f"{value * 100:.3g} %"
        case "ms":
            return f"{value:.0f} ms"
        case "s" if value >= 10:
            return f"{value:.4g} s"
        case "s":
            return f"{value * 1000:.4g} ms"
        case "/s":
            return f"{value:.4g}/s"
        case _:
            return f"{value:.6g}"


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """What one check says of a step; `why` is the sentence that decides. A dry run only reports."""

    check: str
    verdict: Verdict
    why: str
    findings: tuple[Finding, ...]
    samples: int
    measured_at: datetime | None
    failures: int = 0
    errors: int = 0
    dry_run: bool = False

    @property
    def fails(self) -> bool:
        """Return whether it speaks for taking the candidate back."""
        return self.verdict is Verdict.FAIL and not self.dry_run

    @property
    def holds_step(self) -> bool:
        """Return whether the step must not be left yet."""
        return self.verdict is not Verdict.PASS and not self.dry_run

    def as_json(self) -> Mapping[str, Any]:
        """Return what the status and the ledger keep."""
        return {
            "kind": "check",
            "check": self.check,
            "verdict": self.verdict.value,
            "why": self.why,
            "samples": self.samples,
            "failures": self.failures,
            "errors": self.errors,
            "dryRun": self.dry_run,
            "measuredAt": self.measured_at.isoformat() if self.measured_at else None,
            "findings": [finding.as_json() for finding in self.findings],
        }


# Two samples of the same differ by as much.
_NOISE = 0.1


def alike(finding: Finding, measured: float, stable: float) -> bool:
    """Return whether stable breaches the finding's limit too, and is worse than the candidate or hardly better."""
    if finding.operator == "<=":
        return stable > finding.limit and measured <= stable * (1 + _NOISE)
    return stable < finding.limit and measured >= stable * (1 - _NOISE)
