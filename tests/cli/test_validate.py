"""`reconciler validate` on real files."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import EXAMPLE, Repository, Run


def test_the_example_is_valid(run: Run) -> None:
    done = run("validate", EXAMPLE)
    assert (done.exit_code, done.stdout) == (0, "✔ 2 models are valid, no problems\n")


def test_each_problem_shows_its_place_its_line_and_the_fix(run: Run, repository: Repository) -> None:
    repository.edit("models/iris.yaml", "{traffic: 50, hold", "{traffic: 5, hold")
    done = run("validate")
    assert done.exit_code == 2
    assert done.stdout == (
        "error[rollout-steps]: canary steps must increase\n"
        "  --> models/iris.yaml:36:19\n"
        "   |\n"
        "36 |       - {traffic: 5, hold: 15s}\n"
        "   |                   ^ 5 follows 10\n"
        "help: order the steps: 5, 10\n"
        "\n"
        "Found 1 error, 1 model is valid\n"
    )


def test_one_bad_file_hides_no_other(run: Run, repository: Repository) -> None:
    repository.edit("models/iris.yaml", "promotion:", "promoton:")
    (repository.folder / "models" / "diabetes.yaml").write_text("a: [")
    done = run("validate", "-o", "json")
    found = json.loads(done.stdout)
    assert done.exit_code == 2
    assert (found["valid"], found["models"]) == (False, [])
    assert [problem["path"] for problem in found["diagnostics"]] == ["models/diabetes.yaml", "models/iris.yaml"]
    assert found["diagnostics"][1]["help"] == 'did you mean "promotion"?'


def test_places_can_be_opened_from_where_the_command_was_typed(run: Run, repository: Repository) -> None:
    repository.edit("models/iris.yaml", "promotion:", "promoton:")
    assert f"--> {repository.folder}/models/iris.yaml:" in run("validate", repository.folder).stdout


def test_one_file_finds_the_files_it_names_from_the_repository_s_root(run: Run, repository: Repository) -> None:
    assert (repository.folder / "models" / "iris.yaml").is_file()
    assert run("validate", "models/iris.yaml").stdout == "✔ 1 model is valid, no problems\n"


def test_annotations_for_a_pull_request_are_one_line_each_and_cannot_be_forged(
    run: Run, repository: Repository
) -> None:
    repository.edit("models/iris.yaml", "promotion:", '"promoton%0A\\n::error::forged":')
    lines = run("validate", "-o", "github").stdout.splitlines()
    (line,) = lines
    assert line.startswith("::error file=models/iris.yaml,line=")
    assert "promoton%250A" in line


def test_a_path_that_is_not_there_is_an_error_and_no_valid_repository(run: Run) -> None:
    done = run("validate", "nowhere")
    assert done.exit_code == 1
    assert "there is no file or folder" in done.stderr
    assert done.stdout == ""


def test_a_folder_without_specs_is_a_problem(run: Run, tmp_path: Path) -> None:
    done = run("validate", tmp_path)
    assert done.exit_code == 2
    assert "error[no-documents]" in done.stdout
