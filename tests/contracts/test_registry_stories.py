"""The same random story told to the simulation, to the adapter over it, and to MLflow: nobody can tell them apart."""

from __future__ import annotations

import random
import uuid

import httpx
import pytest

from reconciler.errors import Refused
from reconciler.observed import Stage
from reconciler.registry_roles import CHAMPION
from tests.contracts.registries import Bench, MlflowBench, over_the_wire, simulated, without_names
from tests.simulation.wire.mlflow_api import Asked, Failure, MlflowApi
from tests.simulation.wire.registry import WireRegistry

STEPS = 40
MISSING = 7


def step(bench: Bench, name: str, seed: str) -> str:
    """Do one thing, the same for the same seed; return what came of it."""
    tell = random.Random(seed)
    number, stage = tell.choice((1, 1, 2, 3, 4, MISSING)), tell.choice(tuple(Stage))
    key, value = tell.choice(("a", "b", "reconciler.dev/archived")), tell.choice(("", "1", "é", None))
    registry = bench.registry
    deeds = (
        ("register", lambda: bench.register(name, {"from": seed}, {"accuracy": number / 10})),
        ("register", lambda: bench.register(name, {}, {})),
        ("drop", lambda: bench.drop(name, number)),
        ("set stage", lambda: registry.set_stage(name, number, stage)),
        ("set stage", lambda: registry.set_stage(name, number, stage)),
        ("promote", lambda: registry.set_stage(name, number, Stage.PRODUCTION)),
        ("stage by hand", lambda: bench.stage(name, number, stage)),
        ("alias by hand", lambda: bench.alias(name, tell.choice((CHAMPION, "blue")), number)),
        ("alias away", lambda: bench.alias(name, CHAMPION, None)),
        ("tag", lambda: registry.tag(name, number, key, value)),
        ("tag model", lambda: registry.tag_model(name, key, value)),
        ("delete", lambda: registry.delete(name) if tell.random() < 0.2 else None),
    )
    what, deed = tell.choice(deeds)
    told = f"{what} {number} {stage} {key}={value}"
    try:
        deed()
    except Refused:
        return f"{told}: refused"
    except httpx.HTTPStatusError as error:  # what people get who write by plain REST
        return f"{told}: {'refused' if error.response.status_code == 404 else error}"
    return told


@pytest.mark.parametrize("seed", range(2))
def test_the_same_story_is_read_the_same_after_every_step(mlflow: MlflowBench, seed: int) -> None:
    benches: tuple[Bench, ...] = (simulated(), over_the_wire(), mlflow)
    name = f"story-{uuid.uuid4().hex[:12]}"
    story: list[str] = []
    for at in range(STEPS):
        told = [step(bench, name, f"{seed}/{at}") for bench in benches]
        story.append(told[0])
        assert len(set(told)) == 1, [*story, told]
        read = [without_names(bench.registry.read(name)) for bench in benches]
        assert read[0] == read[1] == read[2], [*story, read]
    assert sum("refused" in each for each in story) < 0.7 * STEPS
    assert without_names(mlflow.registry.read_all().get(name)) == read[0]
    mlflow.registry.delete(name)


ANSWERS: dict[str, tuple[str, str, dict[str, object]]] = {
    "one model": ("GET", "registered-models/get", {}),
    "an absent model": ("GET", "registered-models/get", {"name": "never-was"}),
    "versions": ("GET", "model-versions/search", {"max_results": 200_000, "filter": "name = '{name}'"}),
    "a page of versions": ("GET", "model-versions/search", {"max_results": 2, "filter": "name = '{name}'"}),
    "no versions": ("GET", "model-versions/search", {"max_results": 2, "filter": "name = 'never-was'"}),
    "a location": ("GET", "model-versions/get-download-uri", {"version": "1"}),
    "no location": ("GET", "model-versions/get-download-uri", {"version": "9"}),
    "an absent run": ("GET", "runs/get", {"run_id": "0" * 32}),
    "a transition": ("POST", "model-versions/transition-stage",
                     {"version": "1", "stage": "Staging", "archive_existing_versions": True}),
    "a transition that archives the archived": ("POST", "model-versions/transition-stage",
                     {"version": "1", "stage": "Archived", "archive_existing_versions": True}),
    "a transition of nothing": ("POST", "model-versions/transition-stage",
                     {"version": "9", "stage": "Staging", "archive_existing_versions": True}),
    "an alias": ("POST", "registered-models/alias", {"alias": "red", "version": "1"}),
    "an alias of nothing": ("POST", "registered-models/alias", {"alias": "red", "version": "9"}),
    "an alias away": ("DELETE", "registered-models/alias", {"alias": "never-was"}),
    "an alias away from nothing": ("DELETE", "registered-models/alias", {"name": "never-was", "alias": "x"}),
    "a tag": ("POST", "model-versions/set-tag", {"version": "1", "key": "k", "value": "v"}),
    "a tag of nothing": ("POST", "model-versions/set-tag", {"version": "9", "key": "k", "value": "v"}),
    "a tag away": ("DELETE", "model-versions/delete-tag", {"version": "1", "key": "never-was"}),
    "a tag away from nothing": ("DELETE", "model-versions/delete-tag", {"version": "9", "key": "k"}),
    "a model's tag": ("POST", "registered-models/set-tag", {"key": "k", "value": "v"}),
    "a model's tag away": ("DELETE", "registered-models/delete-tag", {"key": "never-was"}),
    "a model's tag away from nothing": ("DELETE", "registered-models/delete-tag", {"name": "never-was", "key": "k"}),
    "a deletion": ("DELETE", "registered-models/delete", {}),
    "a deletion of nothing": ("DELETE", "registered-models/delete", {"name": "never-was"}),
}  # fmt: skip
# What the reconciler never looks at, and values that each server makes itself.
UNREAD = {"sqlstate", "error_class", "message"}
OWN = {"creation_timestamp", "last_updated_timestamp", "run_id", "source", "next_page_token", "artifact_uri"}


def shape(value: object, key: str = "") -> object:
    """Return an answer without what each server makes itself; such values keep their type."""
    match value:
        case dict():
            return {k: shape(v, k) for k, v in value.items() if k not in UNREAD}
        case list():
            return sorted((shape(each) for each in value), key=str)
        case _:
            return type(value).__name__ if key in OWN else value


def test_the_simulated_server_answers_in_the_words_of_mlflow(mlflow: MlflowBench) -> None:
    name = f"words-{uuid.uuid4().hex[:12]}"
    mine = over_the_wire()
    for bench in (mine, mlflow):
        for accuracy in (0.25, 0.5, 0.75):
            bench.register(name, {"k": "é"}, {"accuracy": accuracy})
        bench.registry.set_stage(name, 2, Stage.PRODUCTION)
        bench.alias(name, "blue", 3)
        bench.registry.tag_model(name, "team", "flowers")

    for case, (method, path, asked) in ANSWERS.items():
        named = {} if path in ("model-versions/search", "runs/get") else {"name": name}
        given = {**named, **{k: v.replace("{name}", name) if isinstance(v, str) else v for k, v in asked.items()}}
        where = {"params": given} if method == "GET" else {"json": given}
        theirs = mlflow.somebody.client.request(method, path, **where)  # type: ignore[arg-type]  # params or json
        status, body = _answered(mine.registry, Asked(method, f"/api/2.0/mlflow/{path}", given))
        assert (status, shape(body)) == (theirs.status_code, shape(theirs.json())), case


def _answered(registry: object, asked: Asked) -> tuple[int, object]:
    assert isinstance(registry, WireRegistry)
    try:
        return 200, MlflowApi(registry, models_page=1_000, versions_page=200_000).answer(asked)
    except Failure as failure:
        return failure.status, failure.body
