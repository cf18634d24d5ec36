"""A pytest session that collects once, learns what each test reaches, and then tries mutant after mutant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.reach import Reach
from tests.mutation.sites import Mutant
from tests.mutation.trial import Trial, Verdict, trials

ROOT = Path(__file__).parents[2]
PATIENCE = 2.0
LAST_RESORT = "tests/mutation/random_runs.py"
KILLERS = (
    "tests/plan", "tests/gates", "tests/analysis", "tests/ensure", "tests/test_executor.py", "tests/test_reconcile.py",
    "tests/test_registry_roles.py", "tests/simulation/test_stories.py", "tests/simulation/test_regressions.py",
    "tests/simulation/test_orders.py", "tests/simulation/test_metering.py", "tests/simulation/test_ownership.py",
    "tests/simulation/test_jobs.py", "tests/simulation/test_strategies.py",
    LAST_RESORT,
)  # fmt: skip
OPTIONS = (
    "-p", "no:terminal", "-p", "no:cacheprovider", "-s", "--assert=plain",
    "-o", "addopts=", "-o", "timeout=0",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Session:
    """What is tried, on how many processors, and what came of it."""

    mutants: Sequence[Mutant]
    jobs: int
    told: Callable[[Verdict, str], None]
    verdicts: list[Verdict] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's own loop."""
        items = session.items
        self.tests = [item.nodeid for item in items]
        reach = Reach(frozenset(str(m.module.__file__) for m in self.mutants))
        for number, item in enumerate(items):
            reach.record(number, partial(_run, item))
            if self.failures:
                return True
        last = frozenset(n for n, test in enumerate(self.tests) if test.startswith(LAST_RESORT))
        todo = [self._trial(mutant, reach, last) for mutant in self.mutants]
        for verdict in trials(todo, lambda number: self._fails(items[number]), self.jobs, PATIENCE):
            self.verdicts.append(verdict)
            self.told(verdict, "" if verdict.killer is None else self.tests[verdict.killer])
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what failed."""
        if report.failed:
            self.failures.append(f"{report.nodeid}: {report.longreprtext[-2000:]}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember what could not be collected."""
        if report.failed:
            self.failures.append(f"{report.nodeid}: {report.longreprtext[-2000:]}")

    def _trial(self, mutant: Mutant, reach: Reach, last_resort: frozenset[int]) -> Trial:
        reaching = reach.reaching(str(mutant.module.__file__), mutant.first, mutant.last)
        return Trial(mutant, [(n, reach.seconds[n]) for n in reach.fastest_first(reaching, last_resort)])

    def _fails(self, item: pytest.Item) -> bool:
        self.failures.clear()
        _run(item)
        return bool(self.failures)


def _run(item: pytest.Item) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)


def run(session: Session, killers: Sequence[str] = KILLERS) -> None:
    """Try the mutants; failures tell what was wrong before anything was changed."""
    settings.register_profile(
        "mutation",
        phases=(Phase.explicit, Phase.generate),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    before = settings.get_current_profile_name()
    settings.load_profile("mutation")
    try:
        there = [killer for killer in killers if (ROOT / killer).exists()]
        code = pytest.main([*OPTIONS, f"--rootdir={ROOT}", *(str(ROOT / k) for k in there)], plugins=[session])
    finally:
        settings.load_profile(before)
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} and not session.failures:
        session.failures.append(f"pytest ended with {code!r}")
    sys.stdout.flush()
