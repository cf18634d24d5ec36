"""`reconciler status` and `explain` against a real service's API."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.analysis.verdict import judge
from reconciler.desired.checks import Check
from reconciler.observed import Measurement, Metered, Metering, Release, Side
from reconciler.status import (
    ChangedBy,
    Condition,
    Conditions,
    Health,
    Orderable,
    OrderStatus,
    Phase,
    RegistryVersion,
    RejectedVersion,
    RunningStep,
    SpecProblem,
    Sync,
    TrafficShare,
    Truth,
)
from reconciler.web.address import Address, write_address
from tests.cli.conftest import Run, serving
from tests.scheduler.scripted import NOW, status

WHY = "latency p95 212 ms > 180 ms (1,204 requests, stable 140 ms)"


def finding(what: str, measured: float | None, operator: str, limit: float, **more: object) -> dict[str, object]:
    """Build a finding as the API writes it."""
    limits = {"what": what, "measured": measured, "operator": operator, "limit": limit, "unit": "share"}
    return {**limits, "stable": None, "samples": 1204, "holds": True, **more}


FINDINGS = [
    finding("latency p95", 212.0, "<=", 180.0, unit="ms", stable=140.0, holds=False),
    finding("error rate", 0.002, "<=", 0.01),
    finding("agreement with stable", None, ">=", 0.9, samples=0, holds=None),
]
CHECK = {"kind": "check", "check": "answers", "verdict": "fail", "why": WHY, "samples": 1204, "findings": FINDINGS}
GATES = {
    "kind": "gates",
    "version": 44,
    "verdict": "pass",
    "why": "",
    "gates": [{"gate": "auc >= 0.91", "passed": True, "said": "auc 0.93 >= 0.91"}],
}
CHURN = status(
    "churn",
    sync=Sync.OUT_OF_SYNC,
    health=Health.DEGRADED,
    phase=Phase.ROLLING_BACK,
    conditions=Conditions(Condition(Truth.FALSE), Condition(Truth.TRUE), Condition(Truth.FALSE)),
    git="44",
    registry=(
        RegistryVersion(44, "Archived", "rejected"),
        RegistryVersion(43, "Production"),
        RegistryVersion(42, "Archived"),
    ),
    live=(TrafficShare(44, "churn-00002", 10, 12), TrafficShare(43, "churn-00001", 90, 88)),
    waits_for="version 43 to be ready again",
    look_again_at=NOW + timedelta(minutes=3),
    last_applied_commit="9be0d13" + 33 * "0",
    last_attempted_commit="4f2c1ab" + 33 * "0",
    rejected=(RejectedVersion(42, "auc 0.85 < 0.91"),),
    verdicts=(CHECK, GATES, {"kind": "of a newer service"}),
    commit=ChangedBy("Ana <ana@example.org>", "Use version 44"),
)
MOVING = status(
    "fraud",
    sync=Sync.OUT_OF_SYNC,
    health=Health.PROGRESSING,
    phase=Phase.TRAINING,
    waits_for="training run 7, attempt 1, running",
)
WELL = status("iris", registry=(RegistryVersion(2, "Production"),), live=(TrafficShare(2, "iris-00002", None, 100),))

EXPLAINED = """\
churn  OutOfSync  ✖ Degraded  RollingBack
Why: latency p95 212 ms > 180 ms (1,204 requests, stable 140 ms)
├─ Git       version 44 (commit 4f2c1ab, Ana: Use version 44)
├─ Registry  44 rejected, 43 Production
└─ Live      44 12 % (set 10 %), 43 88 % (set 90 %)
   ├─ ✖ answers  latency p95 212 ms > 180 ms  (1,204 requests, stable 140 ms)
   ├─ ✔ answers  error rate 0.2 % <= 1 %  (1,204 requests)
   ├─ ? answers  agreement with stable: nothing measured yet
   ├─ ✔ gates of version 44  auc 0.93 >= 0.91
   └─ ✖ version 42  auc 0.85 < 0.91
Differs: version 44 was set to 10 %, and gets 12 %
Differs: version 43 was set to 90 %, and gets 88 %
Waits for: version 43 to be ready again. Looks again 2026-08-20T09:34:00Z.
Applied last: commit 9be0d13
Next: reconciler history churn shows what was tried
"""


def test_the_worst_comes_first_and_the_last_line_says_why_and_what_to_type(run: Run) -> None:
    with serving(WELL, MOVING, CHURN) as url:
        done = run("status", "--url", url)
    assert done.exit_code == 2
    *table, last = done.stdout.splitlines()
    assert [row.split()[0] for row in table] == ["NAME", "churn", "fraud", "iris"]
    assert re.split(r" {2,}", table[1]) == [
        "churn", "44", "44 rejected, 43 Production", "44 12 % (set 10 %), 43 88 % (set 90 %)", "OutOfSync",
        "✖ Degraded", "RollingBack, looks again 2026-08-20T09:34:00Z",
    ]  # fmt: skip
    assert re.split(r" {2,}", table[3]) == ["iris", "auto", "2 Production", "2 100 %", "Synced", "✔ Healthy", "Idle"]
    assert last == f"! churn: {WHY}. reconciler explain churn"


def test_what_is_on_its_way_is_said_where_nothing_is_wrong(run: Run) -> None:
    with serving(WELL, MOVING) as url:
        done = run("status", "--url", url)
    assert done.exit_code == 2
    assert done.stdout.splitlines()[-1] == (
        "1 of 2 models on the way; fraud: waits for training run 7, attempt 1, running. reconciler explain fraud"
    )


def test_all_well_is_exit_code_0(run: Run) -> None:
    with serving(WELL) as url:
        done = run("status", "--url", url)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "1 model, Synced and Healthy")


def test_only_the_named_models_decide_the_exit_code(run: Run) -> None:
    with serving(WELL, CHURN) as url:
        assert run("status", "iris", "--url", url).exit_code == 0
        unknown = run("status", "irish", "--url", url)
    assert unknown.exit_code == 1
    assert "there is no model irish" in unknown.stderr
    assert "did you mean iris?" in unknown.stderr


def test_json_is_what_the_service_says(run: Run) -> None:
    with serving(WELL, CHURN) as url:
        items = json.loads(run("status", "--url", url, "-o", "json").stdout)["items"]
        one = json.loads(run("explain", "churn", "--url", url, "-o", "json").stdout)
    assert [item["name"] for item in items] == ["churn", "iris"]
    assert items[0] == one == CHURN.as_json()


def test_an_explanation_shows_every_number_and_what_to_do_next(run: Run) -> None:
    with serving(CHURN) as url:
        done = run("explain", "churn", "--url", url)
    assert (done.exit_code, done.stdout) == (2, EXPLAINED)


WANTED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a version on its way, of which both revisions count": (
        {
            "phase": Phase.CANARY,
            "live": (TrafficShare(44, "churn-00003", None, 2), TrafficShare(44, "churn-00002", 10, 10)),
        },
        ["Differs: version 44 is wanted, and gets 12 % of the traffic"],
    ),
    "the version that stays where another one is taken back": (
        {"git": "43", "live": (TrafficShare(43, "churn-00001", 100, 100),)},
        ["Differs: version 43 is wanted, and gets 100 % of the traffic"],
    ),
    "none where the candidate is taken back": (
        {
            "git": "auto",
            "registry": (RegistryVersion(44, "Staging"),),
            "live": (TrafficShare(44, "churn-00002", None, 0), TrafficShare(43, "churn-00001", 100, 100)),
        },
        [],
    ),
}


@pytest.mark.parametrize("sentence", WANTED)
def test_what_is_wanted_and_what_it_gets(run: Run, sentence: str) -> None:
    changes, said = WANTED[sentence]
    with serving(replace(CHURN, **changes)) as url:
        lines = run("explain", "churn", "--url", url).stdout.splitlines()
    assert [line for line in lines if line.startswith("Differs: ")] == said


STALLED = Condition(Truth.TRUE, "NeedsChange", "version 44 was rolled back: p95 212 ms > 180 ms")
PAUSE = OrderStatus("pause", "ana", "the dashboard looks odd", NOW - timedelta(minutes=5), "the rollout of version 44")

ABORT = replace(PAUSE, order="abort", reason="the answers are odd")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {
                "orders": (PAUSE,),
                "orderable": (Orderable("resume", 44, 0, ""),),
                "blocked_by": "paused by ana: the dashboard looks odd",
            },
            "Next: reconciler resume churn --version 44 --reason ... lets it go on",
        ),
        ({"orders": (PAUSE, ABORT)}, "Next: reconciler history churn shows what was tried"),
        (
            {"waits_for": 'approval: `reconciler approve`, or a commit that sets version: "44"'},
            "Next: reconciler approve churn --reason ...",
        ),
        (
            {
                "waits_for": "approval of step 1 of 2",
                "orderable": (Orderable("abort", 44, 0, ""), Orderable("approve", 44, 1, "")),
            },
            "Next: reconciler approve churn --version 44 --step 1 --reason ...",
        ),
        (
            {"conditions": Conditions(Condition(Truth.FALSE), Condition(Truth.FALSE), STALLED)},
            "Next: mend the cause, then reconciler retry churn --reason ...",
        ),
    ],
)
def test_the_next_step_is_the_order_that_a_person_is_waited_for(run: Run, changes: dict[str, Any], said: str) -> None:
    with serving(replace(CHURN, **changes)) as url:
        done = run("explain", "churn", "--url", url)
    assert said in done.stdout.splitlines()[-1]


def test_orders_in_force_are_shown_with_who_gave_them_and_why(run: Run) -> None:
    with serving(replace(CHURN, orders=(PAUSE,))) as url:
        done = run("explain", "churn", "--url", url)
        one = json.loads(run("explain", "churn", "--url", url, "-o", "json").stdout)
    said = "Ordered: pause of the rollout of version 44, by ana 2026-08-20T09:26:00Z: the dashboard looks odd"
    assert said in done.stdout.splitlines()
    assert one["orders"][0]["actor"] == "ana"


def test_on_a_terminal_of_80_columns_what_does_not_fit_goes_on_below(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("NO_COLOR", "1"), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    with serving(replace(CHURN, waits_for="version 43 to be ready again " * 5)) as url:
        lines = run("explain", "churn", "--url", url).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    first = next(number for number, line in enumerate(lines) if line.startswith("Waits for: "))
    assert lines[first + 1].startswith("           to be ready again version 43")


def metering(ours: Metered, theirs: Metered, **changes: Any) -> Measurement:
    """Return a measurement of a query."""
    nothing, both = Side(0, 0), Metering(ours, theirs, 30.0)
    return Measurement("slow", Release(44, "abc"), 1, NOW, nothing, nothing, metering=both, **changes)


OURS, THEIRS = Metered("p95 of 44", 0.212, 100, "", "count 44"), Metered("p95 of 43", 0.14, 100, "", "count 43")
NO_SERIES = Metered("p95 of 44", None, 0, "the query finds no series", "count 44")
ASKED = ["by p95 of 44", "stable by p95 of 43", "counted by count 44"]
INCREASED = (
    "✖ slow  latency p95 increase 51.4 % > 30 %  (100 requests in 30s, 212 ms against stable's 140 ms by Prometheus)"
)
TOLD: dict[str, tuple[Measurement, list[str]]] = {
    "an increase with both values, and its source": (
        metering(OURS, THEIRS),
        [INCREASED, *ASKED],
    ),
    "no series": (
        metering(NO_SERIES, THEIRS),
        ["? slow  0 of 20 requests in 30s, not counted yet: the query finds no series", *ASKED],
    ),
    "a query that was refused": (
        metering(
            replace(NO_SERIES, samples=None, why=""), replace(THEIRS, value=None, samples=None), error="it is refused"
        ),
        ["? slow  could not measure: it is refused", *ASKED],
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", TOLD)
def test_a_verdict_is_told_with_what_was_asked(run: Run, sentence: str) -> None:
    made, said = TOLD[sentence]
    query = {"template": "latency-p95", "flavour": "istio", "maxIncrease": {"relative": 0.3}}
    judged = judge(Check.model_validate({"name": "slow", "prometheus": query}), [made])
    with serving(replace(CHURN, verdicts=(judged.as_json(),))) as url:
        lines = run("explain", "churn", "--url", url).stdout.splitlines()
        (stored,) = json.loads(run("explain", "churn", "--url", url, "-o", "json").stdout)["verdicts"]
    told = [line.lstrip("│├└─ ") for line in lines]
    begins = told.index(said[0])
    assert told[begins : begins + len(said)] == said
    (finding,) = stored["findings"]
    assert (finding["query"], finding["stableQuery"], finding["samplesQuery"]) == ("p95 of 44", "p95 of 43", "count 44")


def test_too_few_samples_of_one_comparison_are_told_beside_the_others(run: Run) -> None:
    few = finding("agreement with stable", None, ">=", 0.9, samples=12, needed=50, holds=None)
    why = "agreement with stable: 12 of 50 samples, not counted yet"
    check = {**CHECK, "verdict": "inconclusive", "why": why, "findings": [FINDINGS[1], few]}
    with serving(replace(CHURN, verdicts=(check,))) as url:
        said = run("explain", "churn", "--url", url).stdout
    assert said.count("agreement with stable: 12 of 50 samples, not counted yet") == 1
    assert "✔ answers  error rate 0.2 % <= 1 %" in said


def test_a_model_that_is_well_needs_nothing(run: Run) -> None:
    with serving(WELL) as url:
        done = run("explain", "iris", "--url", url)
    assert done.exit_code == 0
    assert done.stdout.endswith("Next: nothing to do\n")
    assert "Why: everything is as Git says" in done.stdout


def test_a_rollout_that_was_paused_by_hand_says_by_whom_and_needs_a_look(run: Run) -> None:
    changes: dict[str, Any] = {
        "health": Health.SUSPENDED,
        "phase": Phase.CANARY,
        "orders": (PAUSE,),
        "orderable": (Orderable("resume", 44, 0, ""),),
        "blocked_by": "paused by ana: the dashboard looks odd",
        "verdicts": (),
    }
    with serving(WELL, replace(CHURN, **changes)) as url:
        done, told = run("status", "--url", url), run("explain", "churn", "--url", url)
    table = [line for line in done.stdout.splitlines() if line.startswith("churn")]
    assert table[0].endswith("॥ Suspended  Canary, paused by ana")
    assert done.stdout.splitlines()[-1] == ("! churn: paused by ana: the dashboard looks odd. reconciler explain churn")
    assert told.stdout.splitlines()[0].endswith("Canary, paused by ana")


CANARY = replace(
    MOVING,
    phase=Phase.CANARY,
    waits_for="",
    look_again_at=NOW + timedelta(hours=1),
    next_action="Analyse",
    step=RunningStep(1, 2, NOW + timedelta(minutes=4)),
    conditions=Conditions(
        Condition(Truth.FALSE, "Canary", "because check answers is due in step 1 of 2"),
        Condition(Truth.TRUE),
        Condition(Truth.FALSE),
    ),
)
MEANWHILE: dict[str, tuple[dict[str, Any], str]] = {
    "the step and the end of its hold": ({}, "Canary 1/2, next step 2026-08-20T09:35:00Z"),
    "that all traffic follows the last step": (
        {"step": RunningStep(2, 2, NOW)}, "Canary 2/2, promotion 2026-08-20T09:31:00Z",
    ),
    "no time while an action is under way": ({"step": RunningStep(1, 2, None)}, "Canary 1/2"),
    "when it looks again, where it waits": (
        {"step": RunningStep(1, 2, None), "next_action": None}, "Canary 1/2, looks again 2026-08-20T10:31:00Z",
    ),
    "no next step, where something holds it up": (
        {"next_action": None, "blocked_by": "the freeze fair"}, "Canary 1/2, looks again 2026-08-20T10:31:00Z",
    ),
    "no step before the first": ({"step": None}, "Canary"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", MEANWHILE)
def test_the_phase_of_a_canary_shows(run: Run, sentence: str) -> None:
    changes, said = MEANWHILE[sentence]
    with serving(replace(CANARY, **changes)) as url:
        row = run("status", "--url", url).stdout.splitlines()[1]
    assert re.split(r" {2,}", row)[-1] == said


def test_an_action_under_way_is_told_with_its_reason_and_not_with_the_deadline(run: Run) -> None:
    with serving(CANARY) as url:
        listed, told = run("status", "--url", url), run("explain", "fraud", "--url", url)
    assert listed.stdout.splitlines()[-1] == (
        "1 of 1 model on the way; fraud: check answers is due in step 1 of 2. reconciler explain fraud"
    )
    assert "Why: check answers is due in step 1 of 2\n" in told.stdout
    assert "Looks again" not in told.stdout


def test_of_a_spec_that_cannot_be_used_the_fix_and_the_commit_are_named(run: Run) -> None:
    what = "models/iris.yaml:16:3: unknown field promotoin; the spec of 4f2c1ab stays"
    stalled = Condition(Truth.TRUE, "NeedsChange", what)
    problem = SpecProblem("unknown-field", "unknown field promotoin", "models/iris.yaml", 16, "did you mean promotion?")
    broken = replace(
        WELL,
        sync=Sync.OUT_OF_SYNC,
        conditions=Conditions(Condition(Truth.FALSE, "Idle", what), Condition(Truth.FALSE), stalled),
        last_attempted_commit="9be0d13" + 33 * "0",
        commit=ChangedBy("Ana <ana@example.org>", "The one that stays"),
        problems=(problem,),
    )
    with serving(broken) as url:
        lines = run("explain", "iris", "--url", url).stdout.splitlines()
    assert f"Why: {what}" in lines
    assert lines[2] == (
        "├─ Git       the newest version that passes the gates; commit 9be0d13 is not followed: its spec cannot be used"
    )
    assert lines[-1] == (
        "Next: did you mean promotion? mend models/iris.yaml:16 of commit 9be0d13, reconciler validate, commit"
    )


SUSPENDED = status(
    "mnist",
    health=Health.SUSPENDED,
    conditions=Conditions(
        Condition(Truth.TRUE, "InSync", "spec.suspend is true; no new action starts"),
        Condition(Truth.FALSE),
        Condition(Truth.FALSE),
    ),
)
HELD = replace(
    SUSPENDED, sync=Sync.OUT_OF_SYNC, blocked_by="spec.suspend is true; held up: Train, because nothing is registered"
)


def test_a_suspended_model_is_not_on_the_way_and_says_what_starts_it_again(run: Run) -> None:
    with serving(WELL, SUSPENDED) as url:
        listed, done = run("status", "--url", url), run("explain", "mnist", "--url", url)
    assert (listed.exit_code, done.exit_code) == (0, 0)
    assert listed.stdout.splitlines()[-1] == "2 models, Synced; spec.suspend is true of mnist"
    assert "Why: spec.suspend is true; no new action starts" in done.stdout
    assert "Next: remove suspend in Git" in done.stdout.splitlines()[-1]


def test_a_suspended_model_of_which_an_action_is_held_up_is_not_in_sync(run: Run) -> None:
    with serving(HELD) as url:
        listed, done = run("status", "--url", url), run("explain", "mnist", "--url", url)
    assert (listed.exit_code, done.exit_code) == (2, 2)
    assert "spec.suspend is true; held up: Train" in listed.stdout.splitlines()[-1]
    assert "Next: remove suspend in Git" in done.stdout.splitlines()[-1]


def test_a_service_of_this_machine_is_found_through_its_state_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(WELL) as url:
        write_address(tmp_path / "state", Address(url, os.getpid()))
        assert run("status").exit_code == 0
        monkeypatch.setenv("RECONCILER_URL", url)
        (tmp_path / "state" / "http.json").unlink()
        assert run("status").exit_code == 0


def test_where_none_runs_it_says_how_to_start_one(run: Run) -> None:
    done = run("status")
    assert done.exit_code == 1
    assert "no reconciler runs here" in done.stderr
    assert "start it with `reconciler run" in done.stderr


def test_where_none_runs_under_these_settings_it_says_which_and_how_to_name_others(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("stateDir: elsewhere\n")
    done = run("explain", "iris", "-c", "other.yaml")
    assert done.exit_code == 1
    assert "no reconciler runs here under the settings of other.yaml: elsewhere/http.json names none" in done.stderr
    assert "name the settings of one that runs here with --config" in done.stderr
    assert "under the settings that hold without --config" in run("explain", "iris").stderr


@pytest.mark.parametrize(
    ("url", "said"),
    {
        "nobody listens": ("http://127.0.0.1:9", "does not answer"),
        "a file is no service": ("file:///etc/passwd", "must begin with http"),
    }.values(),
)
def test_a_wrong_url_is_an_error(run: Run, url: str, said: str) -> None:
    done = run("status", "--url", url)
    assert done.exit_code == 1
    assert said in done.stderr


def test_a_name_cannot_steer_the_terminal_nor_the_request(run: Run) -> None:
    with serving(WELL) as url:
        done = run("explain", "../\x1b[31m", "--url", url)
    assert done.exit_code == 1
    assert "\x1b" not in done.stderr


def test_watching_ends_with_ctrl_c_and_the_last_state_s_exit_code(tmp_path: Path) -> None:
    with serving(WELL) as url:
        command = [sys.executable, "-u", "-m", "reconciler", "status", "--watch", "--url", url]
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            try:
                shown = [process.stdout.readline() for _ in range(3)]
                process.send_signal(signal.SIGINT)
                rest, errors = process.communicate(timeout=30)
            finally:
                process.kill()
    assert shown[-1] == "1 model, Synced and Healthy\n"
    assert (process.returncode, rest, errors) == (0, "", "")
