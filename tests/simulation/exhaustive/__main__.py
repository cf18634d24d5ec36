"""Print what was tried: `python -m tests.simulation.exhaustive [STORY]`; a part of a story's name is enough."""

from __future__ import annotations

import sys

from tests.simulation.exhaustive.explore import Report
from tests.simulation.exhaustive.pool import Trial, results, trials
from tests.simulation.exhaustive.reference import STORIES

HEAD = ("story", "faults", "calls", "tried", "equal", "allowed", "failed", "asked", "spared", "s CPU", "points/s")
ROW = "{:<30}{:<8}{:>6}{:>8}{:>8}{:>8}{:>7}{:>9}{:>9}{:>7}{:>9}\n"


def row(trial: Trial, report: Report) -> str:
    """Return one line of the table."""
    pace = round(report.asked / report.seconds) if report.seconds else 0
    return ROW.format(
        report.story, trial.kind, report.calls, report.runs, report.equal, sum(report.differences.values()),
        len(report.failures), report.asked, report.spared, f"{report.seconds:.1f}", pace,
    )  # fmt: skip


def main() -> int:
    """Try everything; return 1 when a run ended otherwise than the calm one."""
    wanted = " ".join(sys.argv[1:])
    found = results(trials(story.name for story in STORIES if wanted in story.name))
    sys.stdout.write(ROW.format(*HEAD))
    for trial, report in found.items():
        sys.stdout.write(row(trial, report))
    reports = tuple(found.values())
    asked, seconds = sum(r.asked for r in reports), sum(r.seconds for r in reports)
    spared = sum(r.spared for r in reports)
    pace = asked / seconds if seconds else 0
    sys.stdout.write(
        f"asked: calls made and asked for a fault, {asked} in {seconds:.1f} s of CPU, {pace:.0f} a second; "
        f"spared: those that would have followed a state whose end is known, {spared}\n"
    )
    failures = [failure for report in reports for failure in report.failures]
    for failure in failures[:5]:
        sys.stdout.write(f"{failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
