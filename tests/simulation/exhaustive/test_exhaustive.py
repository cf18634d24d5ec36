"""Whatever fails, wherever, once, and twice where something is written: the story ends as it does when all is calm."""

from __future__ import annotations

import pytest

from tests.simulation.exhaustive.explore import Report
from tests.simulation.exhaustive.pool import Trial, results, trials
from tests.simulation.exhaustive.reference import STORIES

# All trials are run for the first test that asks; on a machine that does much else that takes minutes.
pytestmark = pytest.mark.timeout(900)

TRIALS = trials(story.name for story in STORIES)


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> dict[Trial, Report]:
    """Try what the chosen tests ask for, all at once."""
    cases = (getattr(item, "callspec", None) for item in request.session.items)
    chosen = [case.params["trial"] for case in cases if case is not None and "trial" in case.params]
    return results([trial for trial in TRIALS if trial in chosen])


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: f"{trial.story}, {trial.kind}")
def test_a_story_with_faults_ends_as_the_calm_one(trial: Trial, reports: dict[Trial, Report]) -> None:
    report = reports[trial]
    assert not report.failures, "\n".join(str(failure) for failure in report.failures[:3])
    assert report.runs >= 4 * report.calls
    assert report.equal + sum(report.differences.values()) == report.runs
