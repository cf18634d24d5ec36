"""Rollouts whose checks run a Job, in the simulated world."""

from __future__ import annotations

from reconciler.desired.documents import ModelSpec
from reconciler.observed import TAG_REJECTED, Stage
from tests.simulation.faults import Fault
from tests.simulation.stories import Script, spec, training, until, world
from tests.simulation.test_stories import roles
from tests.simulation.wishes import JOB
from tests.simulation.world import KEY, NAME, World


def asking(**changes: object) -> ModelSpec:
    content = spec(training=training(2)).content()
    content["rollout"]["analysis"] = [{**JOB, **changes}]
    return ModelSpec.model_validate(content)


def rolling(wanted: ModelSpec, script: Script | None = None) -> World:
    """Let version 1 serve, and version 2 be wanted."""
    made = world(script) if script else world()
    made.settle()
    made.source.write(NAME, wanted)
    return made


def test_a_job_is_run_once_a_step_and_removed() -> None:
    made = rolling(asking())
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    assert len(made.jobs.begun) == len(set(made.jobs.begun)) == 2
    assert all(name.startswith("iris-own-") for name in made.jobs.begun)
    assert not made.jobs.there


def test_a_job_knows_both_sides_and_what_the_spec_gives_it() -> None:
    made = rolling(asking(job={"image": "tests:1", "args": ["--fast"], "env": {"LEVEL": "2", "VERSION": "9"}}))
    until(made, lambda: bool(made.jobs.there))
    (request,) = made.jobs.there.values()
    assert request.env == {
        "LEVEL": "2", "MODEL": "iris", "VERSION": "2", "NAMESPACE": "models",
        "CANDIDATE_URL": "http://models/iris/iris-predictor-00002",
        "STABLE_URL": "http://models/iris/iris-predictor-00001",
    }  # fmt: skip
    assert (request.image, request.args, request.namespace, request.model) == ("tests:1", ("--fast",), "models", "iris")


def test_an_exit_code_but_0_takes_the_candidate_back() -> None:
    made = rolling(asking())
    made.bad.add(2)
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert "ended with exit code 3, not 0" in made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert not made.jobs.there


def test_a_failure_that_is_let_pass_is_followed_by_another_job() -> None:
    made = rolling(asking(failureLimit=1))
    made.bad.add(2)
    until(made, lambda: bool(made.jobs.begun))
    until(made, lambda: len(made.jobs.begun) == 2)
    made.bad.clear()
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_jobs_without_an_exit_code_are_errors_that_are_removed_and_fail_at_last() -> None:
    made = rolling(asking())
    made.jobs.evicting = True
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert "5 times in a row (errorLimit 4)" in made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert len(made.jobs.begun) == 5
    assert not made.jobs.there


def test_a_create_whose_answer_is_lost_begins_no_second_job() -> None:
    script = Script()
    script.then("jobs.create", Fault.LOST)
    made = rolling(asking(), script)
    made.settle()
    assert not script.faults
    assert made.serving.shares(KEY) == {2: 100}
    assert len(made.jobs.begun) == 2
