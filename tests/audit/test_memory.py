"""What must survive a restart does, and what did not change is not written."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from reconciler.audit.database import Database
from reconciler.audit.memory import SqlMemory
from reconciler.desired import stored
from reconciler.desired.documents import ModelSpec
from reconciler.desired.state import Commit, DesiredModel
from reconciler.observed import Release, ReleaseRecord

NOW = datetime(2026, 8, 1, tzinfo=UTC)
COMMIT = Commit("4f2c1ab", "Ana <ana@example.com>", NOW, "train longer")


def desired(name: str, *, suspend: bool = False, commit: Commit = COMMIT) -> DesiredModel:
    return DesiredModel(name, ModelSpec(suspend=suspend), commit, f"models/{name}.yaml")


def encode(model: DesiredModel) -> str:
    return json.dumps({"name": model.name, "suspend": model.spec.suspend})


def decode(text: str) -> DesiredModel:
    value = json.loads(text)
    return desired(value["name"], suspend=value["suspend"])


def with_files(name: str, **files: bytes) -> DesiredModel:
    return replace(desired(name), files=files)


def stored_contents(database: Database) -> list[bytes]:
    with database.read() as connection:
        return sorted(bytes(row.data) for row in connection.execute(sa.text("SELECT data FROM content")))


@pytest.fixture
def memory(database: Database) -> SqlMemory:
    return SqlMemory(database, encode, decode)


@pytest.fixture
def restarted(database: Database) -> SqlMemory:
    """Return the memory as another process would find it."""
    return SqlMemory(database, encode, decode)


@pytest.fixture
def writes(database: Database) -> Iterator[list[str]]:
    """Collect the statements that write."""
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            seen.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(database.engine, "before_cursor_execute", note)


def test_last_good_specs_survive_a_restart(memory: SqlMemory, restarted: SqlMemory) -> None:
    models = [desired("iris"), desired("churn", suspend=True)]
    memory.remember(models)
    assert memory.last_good() == restarted.last_good() == {model.name: model for model in models}


def test_a_changed_spec_replaces_the_one_before(memory: SqlMemory, restarted: SqlMemory) -> None:
    memory.remember([desired("iris")])
    memory.remember([desired("iris", suspend=True)])
    assert restarted.last_good()["iris"].spec.suspend


def test_what_did_not_change_is_not_written_again(memory: SqlMemory, restarted: SqlMemory, writes: list[str]) -> None:
    memory.remember([desired("iris")])
    assert len(writes) == 1
    memory.remember([desired("iris")])
    restarted.remember([desired("iris")])
    assert len(writes) == 1


def test_a_new_commit_alone_is_kept_in_the_process_and_not_written(memory: SqlMemory, writes: list[str]) -> None:
    memory.remember([desired("iris")])
    later = replace(COMMIT, id="9be0d13")
    memory.remember([desired("iris", commit=later)])
    assert memory.last_good()["iris"].commit == later
    assert len(writes) == 1


def test_a_model_let_go_of_is_forgotten_with_its_releases(memory: SqlMemory, restarted: SqlMemory) -> None:
    record = ReleaseRecord(Release(1, "aaaa"), "s3://models/1", {})
    memory.remember([desired("iris"), desired("churn")])
    memory.keep_release("iris", record)
    memory.forget("iris")
    memory.forget("nobody")
    assert list(memory.last_good()) == list(restarted.last_good()) == ["churn"]
    assert memory.releases("iris") == restarted.releases("iris") == {}


def test_a_model_let_go_of_leaves_the_releases_that_are_still_served(memory: SqlMemory, restarted: SqlMemory) -> None:
    served, older = (ReleaseRecord(Release(n, "aaaa"), f"s3://models/{n}", {}) for n in (2, 1))
    memory.remember([desired("iris")])
    for record in (older, served):
        memory.keep_release("iris", record)
    memory.forget("iris", [served.release])
    assert memory.last_good() == restarted.last_good() == {}
    assert memory.releases("iris") == restarted.releases("iris") == {served.release: served}


def test_releases_survive_a_restart_and_are_written_once(
    memory: SqlMemory, restarted: SqlMemory, writes: list[str]
) -> None:
    first = ReleaseRecord(Release(1, "aaaa"), "s3://models/1", {"predictor": {"minReplicas": 0}})
    second = ReleaseRecord(Release(2, "aaaa"), "s3://models/2", {"predictor": {"minReplicas": 0}})
    for record in (first, second, first):
        memory.keep_release("iris", record)
    assert memory.releases("iris") == restarted.releases("iris") == {first.release: first, second.release: second}
    assert memory.releases("churn") == {}
    assert len(writes) == 2


def test_a_release_that_is_applied_from_elsewhere_is_kept_anew(memory: SqlMemory, restarted: SqlMemory) -> None:
    moved = ReleaseRecord(Release(1, "aaaa"), "s3://elsewhere/1", {})
    memory.keep_release("iris", ReleaseRecord(Release(1, "aaaa"), "s3://models/1", {}))
    memory.keep_release("iris", moved)
    assert restarted.releases("iris") == {moved.release: moved}


def test_one_stored_spec_that_cannot_be_read_hides_no_other(memory: SqlMemory, restarted: SqlMemory) -> None:
    broken = SqlMemory(memory._database, lambda _: "of another format", decode)
    broken.remember([desired("iris")])
    memory.remember([desired("churn")])
    assert list(restarted.last_good()) == ["churn"]
    assert "Expecting value" in restarted.unreadable["iris"]
    restarted.remember([desired("iris")])
    assert restarted.unreadable == {}
    assert set(restarted.last_good()) == {"iris", "churn"}


def test_specs_survive_in_the_form_that_desired_gives_them(database: Database) -> None:
    model = DesiredModel("iris", ModelSpec(), COMMIT, "models/iris.yaml", labels={"team": "a"}, files={"p": b"\x00"})
    SqlMemory(database, stored.to_json, stored.from_json).remember([model])
    restarted = SqlMemory(database, stored.to_json, stored.from_json)
    assert restarted.last_good() == {"iris": model}


def test_a_key_is_claimed_once(memory: SqlMemory, restarted: SqlMemory) -> None:
    assert memory.claim("train/iris/4f2c", NOW)
    assert not memory.claim("train/iris/4f2c", NOW)
    assert not restarted.claim("train/iris/4f2c", NOW)
    assert restarted.claim("train/iris/9be0", NOW)


def test_another_process_shows_after_a_reload(memory: SqlMemory, restarted: SqlMemory) -> None:
    assert memory.last_good() == {}
    restarted.remember([desired("iris")])
    memory.reload()
    assert list(memory.last_good()) == ["iris"]


def test_ten_thousand_models_are_remembered_in_one_transaction(
    memory: SqlMemory, restarted: SqlMemory, writes: list[str]
) -> None:
    models = [desired(f"model-{number}") for number in range(10_000)]
    began = time.perf_counter()
    memory.remember(models)
    took = time.perf_counter() - began
    assert len(writes) == 1
    assert took < 5
    assert len(restarted.last_good()) == 10_000


def test_a_file_that_many_models_name_is_stored_once_and_shared_again(
    memory: SqlMemory, restarted: SqlMemory, database: Database
) -> None:
    models = [with_files("iris", package=b"p" * 9, rows=b"1"), with_files("wine", package=b"p" * 9)]

    memory.remember(models)

    assert stored_contents(database) == [b"1", b"p" * 9]
    found = restarted.last_good()
    assert list(found.values()) == models
    assert found["iris"].files["package"] is found["wine"].files["package"]


def test_a_file_that_no_model_names_any_more_is_not_kept(
    memory: SqlMemory, restarted: SqlMemory, database: Database
) -> None:
    memory.remember([with_files("iris", package=b"old"), with_files("wine", package=b"other")])
    memory.remember([with_files("iris", package=b"new")])
    assert stored_contents(database) == [b"new", b"other"]

    restarted.forget("wine")
    restarted.remember([with_files("iris", package=b"newest")])

    assert stored_contents(database) == [b"newest"]
    assert SqlMemory(database, encode, decode).last_good() == {"iris": with_files("iris", package=b"newest")}


def test_a_spec_whose_file_is_lost_counts_as_never_taken_over(
    memory: SqlMemory, restarted: SqlMemory, database: Database
) -> None:
    memory.remember([with_files("iris", package=b"old"), desired("wine")])
    with database.write() as connection:
        connection.execute(sa.text("DELETE FROM content"))

    assert restarted.last_good() == {"wine": desired("wine")}
    assert "names a file that is not stored" in restarted.unreadable["iris"]


def test_the_files_of_a_spec_that_cannot_be_read_stay(memory: SqlMemory, database: Database) -> None:
    memory.remember([with_files("iris", package=b"of iris"), with_files("wine", package=b"old")])

    def only_wine(text: str) -> DesiredModel:
        if "iris" in text:
            raise ValueError("of a newer release")
        return decode(text)

    older = SqlMemory(database, encode, only_wine)
    older.remember([with_files("wine", package=b"new")])

    assert b"of iris" in stored_contents(database)
    assert SqlMemory(database, encode, decode).last_good()["iris"] == with_files("iris", package=b"of iris")


def test_the_commit_acted_on_survives_a_restart_for_each_line_of_git(
    memory: SqlMemory, restarted: SqlMemory, writes: list[str]
) -> None:
    memory.act_on("main", "a" * 40)
    memory.act_on("main", "b" * 40)
    memory.act_on("release", "c" * 40)
    memory.act_on("main", "b" * 40)
    assert len(writes) == 3
    assert [restarted.acted_on(line) for line in ("main", "release", "other")] == ["b" * 40, "c" * 40, None]
