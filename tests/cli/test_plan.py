"""`reconciler plan` without systems, in real Git repositories."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pygit2
import pytest

from tests.cli.conftest import EXAMPLE, Repository, Run

FRESH = """\
Compared the files here with nothing: everything is new
No system was asked; nothing is assumed to be there.

  # diabetes: will be trained for the first time
  #   because nothing is registered
  + version  (known after training)
  + service  models/diabetes, the new version
    gates    rmse <= 60, rmse at most 2 worse than production
    takes    about 11 min

  # iris: will be trained for the first time
  #   because nothing is registered
  + version  (known after training)
  + service  models/iris, the new version
    gates    accuracy >= 0.9, f1_score at most 0.05 worse than production
    takes    about 11 min

+ adds
Plan: 2 to train.
"""


def test_outside_of_git_everything_is_new(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("copy") / "models"
    shutil.copytree(EXAMPLE, folder)
    done = run("plan", folder)
    assert (done.exit_code, done.stdout) == (2, FRESH)


def test_an_edit_is_compared_with_main(run: Run, repository: Repository) -> None:
    repository.edit("models/iris.yaml", "n_estimators: 50", "n_estimators: 100")
    done = run("plan")
    assert done.exit_code == 2
    assert done.stdout.startswith(f"Compared the files here with main {repository.main}\n")
    assert "~ training.parameters.n_estimators  50 -> 100" in done.stdout
    assert done.stdout.endswith("Plan: 1 to retrain. Nothing else changes (1 model).\n")


def test_a_branch_is_compared_with_where_it_left_main(run: Run, repository: Repository) -> None:
    start = repository.main
    repository.edit("models/diabetes.yaml", "alpha: 1.0", "alpha: 2.0")
    repository.commit("Meanwhile on main")
    repository.git.branches.local.create("better", repository.git.revparse_single(start).peel(pygit2.Commit))
    repository.git.checkout("refs/heads/better", strategy=pygit2.enums.CheckoutStrategy.FORCE)
    repository.edit("models/iris.yaml", "n_estimators: 50", "n_estimators: 100")
    tip = repository.commit("A better forest")
    done = run("plan")
    assert done.stdout.startswith(f"Compared {tip} with main {start}\n")
    assert "alpha" not in done.stdout


def test_the_remote_s_main_is_what_is_followed_so_it_comes_before_the_local_one(
    run: Run, repository: Repository
) -> None:
    repository.git.references.create("refs/remotes/origin/main", repository.git.head.target)
    repository.edit("models/iris.yaml", "n_estimators: 50", "n_estimators: 100")
    repository.commit("Not pushed yet")
    done = run("plan")
    assert f"with origin/main {repository.main}" in done.stdout
    assert "50 -> 100" in done.stdout


def test_a_file_that_a_spec_names_is_an_edit_too(run: Run, repository: Repository) -> None:
    repository.edit("pipelines/iris.yaml", "iris", "lily")
    done = run("plan")
    assert "~ file pipelines/iris.yaml" in done.stdout


def test_a_clean_checkout_of_main_has_nothing_to_compare_with(run: Run, repository: Repository) -> None:
    assert f"Compared {repository.main} with nothing: everything is new" in run("plan").stdout


def test_two_commits_can_be_compared_whatever_is_checked_out(run: Run, repository: Repository) -> None:
    repository.branch("gone")
    (repository.folder / "models" / "diabetes.yaml").unlink()
    repository.commit("No diabetes")
    done = run("plan", "--base", repository.main, "--ref", "gone", "--offline")
    assert done.exit_code == 2
    assert "# diabetes: will be taken down and archived" in done.stdout
    back = run("plan", "--base", "gone", "--ref", repository.main)
    assert "# diabetes: will be trained for the first time" in back.stdout


def test_the_same_on_both_sides_is_nothing_to_do(run: Run, repository: Repository) -> None:
    done = run("plan", "--base", "main")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Compared {repository.main} with main {repository.main}\n")
    assert done.stdout.endswith("\nPlan: nothing to do. 2 models are as Git says.\n")


def test_a_folder_of_a_repository_is_compared_with_the_same_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch, repository: Repository
) -> None:
    team = repository.folder / "team"
    shutil.copytree(EXAMPLE, team)
    repository.commit("A second folder")
    monkeypatch.chdir(team)
    done = run("plan", "--base", "main")
    assert done.exit_code == 0
    assert "2 models are as Git says" in done.stdout
    before = run("plan", "--base", repository.main)
    assert "Plan: 2 to train." in before.stdout


def test_a_spec_that_cannot_be_used_fails_the_plan_and_keeps_the_last_good_one(
    run: Run, repository: Repository
) -> None:
    repository.edit("models/iris.yaml", "promotion:", "promoton:")
    done = run("plan")
    assert done.exit_code == 1
    assert 'there is no field "promoton" in spec' in done.stderr
    assert "The plan is not whole" in done.stderr
    assert "# iris: keeps the last spec that could be used" in done.stdout


def test_json_is_the_same_byte_for_byte(run: Run, repository: Repository) -> None:
    repository.edit("models/iris.yaml", "n_estimators: 50", "n_estimators: 100")
    first, second = run("plan", "-o", "json"), run("plan", "-o", "json")
    assert first.stdout == second.stdout
    found = json.loads(first.stdout)
    assert found["summary"]["counts"] == {"retrain": 1}
    assert found["models"][0]["way"]["converges"] is True


def test_assumed_times_are_options(run: Run, repository: Repository) -> None:
    repository.edit("models/iris.yaml", "n_estimators: 50", "n_estimators: 100")
    done = run("plan", "--until-converged", "--assume-training", "2h", "--assume-ready", "5m")
    assert "Assumed: a training takes 2h, a revision is ready after 5m" in done.stdout
    assert "2h5m  give version 2 10 %" in done.stdout
    wrong = run("plan", "--assume-training", "soon")
    assert wrong.exit_code == 1
    assert "not a duration: 'soon'" in wrong.stderr


def test_markdown_names_the_environment(run: Run, repository: Repository) -> None:
    repository.edit("models/iris.yaml", "n_estimators: 50", "n_estimators: 100")
    done = run("plan", "-o", "markdown", "--environment", "prod")
    assert done.stdout.startswith("<!-- model-reconciler plan prod -->\n## reconciler plan (prod): 1 retrain\n")


def test_a_spec_cannot_steer_the_terminal(run: Run, repository: Repository) -> None:
    repository.edit("models/iris.yaml", "unit: cm", 'unit: "\\e]0;owned\\a"')
    for output in ("text", "json", "markdown"):
        done = run("plan", "-o", output)
        assert "unit" in done.stdout
        assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    {
        "a base that is not there": (("--base", "nope"), "there is no commit nope"),
        "a ref that is not there": (("--ref", "nope"), "there is no commit nope"),
        "a folder that is not there": (("nowhere",), "there is no file or folder"),
    }.values(),
)
def test_what_cannot_be_read_is_an_error(
    run: Run, repository: Repository, arguments: tuple[str, ...], said: str
) -> None:
    assert repository.main
    done = run("plan", *arguments)
    assert done.exit_code == 1
    assert said in done.stderr


def test_a_base_needs_a_repository(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text((EXAMPLE / "policy.yaml").read_text())
    done = run("plan", "--base", "main")
    assert done.exit_code == 1
    assert "is not in a Git work tree" in done.stderr


def test_a_repository_without_a_commit_has_no_base(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("unborn") / "models"
    shutil.copytree(EXAMPLE, folder)
    pygit2.init_repository(str(folder))
    assert run("plan", folder).stdout == FRESH


def test_a_mistyped_option_does_not_look_like_changes(run: Run) -> None:
    assert run("plan", "--offlin").exit_code == 1


def test_settings_in_the_environment_and_a_base_are_two_comparisons(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_MLFLOW__TRACKING_URI", "http://127.0.0.1:9")
    done = run("plan", "--base", "main")
    assert done.exit_code == 1
    assert "add --offline" in done.stderr


# What is edited beside a model in Standard mode, and what the plan says.
IN_STANDARD = {
    "other parameters": ("n_estimators: 50", "n_estimators: 100", "canary 10 % for 15s, 50 % for 15s, then 100 %"),
    "other serving fields": ("minReplicas: 1", "minReplicas: 2", "the same, served anew"),
    "another mode": ("mode: Standard", "mode: Knative", "it runs in Standard mode, which KServe never changes"),
}


@pytest.mark.parametrize("what", IN_STANDARD)
def test_a_model_in_standard_mode_is_planned_without_systems(run: Run, repository: Repository, what: str) -> None:
    before, after, said = IN_STANDARD[what]
    repository.edit("models/iris.yaml", "mode: Knative", "mode: Standard")
    base = repository.commit("In Standard mode from the start")
    repository.edit("models/iris.yaml", before, after)
    done = run("plan", "--base", base)
    assert done.exit_code == 2
    assert said in done.stdout
    assert done.stdout.endswith("Nothing else changes (1 model).\n")
