"""Which spec is in force, commit after commit."""

from __future__ import annotations

import pytest

from reconciler.desired.documents import ModelSpec
from reconciler.desired.parse import ParsedFile, parse_file
from reconciler.desired.repository import Assembler
from reconciler.desired.state import DesiredModel
from reconciler.desired.stored import from_json, to_json
from tests.desired.world import PIPELINE, Repository, commit, model, policy, snapshot, state_of

BROKEN = "apiVersion: reconciler.dev/v1alpha1\nkind: Model\nmetadata: {name: [\n"
TRAINED = "training: {kubeflowPipeline: {package: p.yaml}}"


def test_invalid_document_keeps_its_last_good_spec_and_says_what_is_wrong() -> None:
    repository = Repository()
    good = repository.commit({"a.yaml": model("a"), "b.yaml": model("b")}).models["a"]
    state = repository.commit({"a.yaml": model("a", "suspended: true"), "b.yaml": model("b", "suspend: true")})
    assert state.models["a"].spec is good.spec
    assert state.models["a"].commit == good.commit
    assert [d.code for d in state.models["a"].stale] == ["unknown-field"]
    assert state.models["b"].spec.suspend
    assert state.models["b"].stale == ()


def test_the_commit_that_broke_a_spec_is_named_until_another_one_breaks_it_otherwise() -> None:
    repository = Repository()
    assert repository.commit({"a.yaml": model("a")}).models["a"].refused == ""
    broken = repository.commit({"a.yaml": model("a", "suspended: true")}).models["a"]
    assert broken.refused == commit(2).id
    assert repository.commit({"a.yaml": model("a", "suspended: true"), "b.yaml": model("b")}).models["a"] is broken
    assert repository.commit({"a.yaml": model("a", "x: 1")}).models["a"].refused == commit(4).id
    assert repository.commit({"a.yaml": model("a")}).models["a"].refused == ""


def test_invalid_document_without_a_last_good_spec_is_no_model() -> None:
    assert not state_of({"a.yaml": model("a", "x: 1")}).models


def test_last_good_spec_survives_a_restart() -> None:
    repository = Repository()
    good = repository.commit({"a.yaml": model("a", "registeredModel: kept")}).models["a"]
    repository.last_good = {name: from_json(to_json(m)) for name, m in repository.last_good.items()}
    repository.restart()
    state = repository.commit({"a.yaml": BROKEN})
    assert state.models["a"].spec == good.spec
    assert [d.code for d in state.models["a"].stale] == ["yaml-syntax"]
    assert state.unreadable == {"a.yaml"}


def test_model_that_left_git_is_removed_by_the_commit_that_removed_it() -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a"), "b.yaml": model("b")})
    removed = repository.commit({"b.yaml": model("b")}).models["a"]
    assert removed.removed
    assert removed.commit == commit(2)
    again = repository.commit({"b.yaml": model("b", "suspend: true")}).models["a"]
    assert again is removed


def test_model_that_was_let_go_is_gone() -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a"), "b.yaml": model("b")})
    del repository.last_good["a"]
    assert list(repository.commit({"b.yaml": model("b")}).models) == ["b"]


def test_model_that_came_back_is_not_removed() -> None:
    repository = Repository()
    both = {"a.yaml": model("a"), "b.yaml": model("b")}
    repository.commit(both)
    repository.commit({"b.yaml": model("b")})
    assert not repository.commit(both).models["a"].removed


def test_nothing_is_removed_while_a_file_cannot_be_read() -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a"), "b.yaml": model("b")})
    state = repository.commit({"b.yaml": BROKEN})
    assert not state.models["a"].removed
    assert not state.models["b"].removed
    (held,) = state.models["a"].stale
    assert held.message == (
        '"a" has no document in this commit, but is not taken for removed while b.yaml cannot be read'
    )
    assert [d.code for d in state.models["b"].stale] == ["yaml-syntax"]
    assert repository.commit({"b.yaml": model("b")}).models["a"].removed


UNREADABLE: dict[str, str | bytes] = {
    "broken YAML": BROKEN,
    "a document without a name": model().replace("  name: iris\n", "  labels: {}\n"),
    "a document whose name is no name": model("Iris"),
    "a byte that is not UTF-8": model().encode() + b"\xff",
    "a misspelt apiVersion without a name": model("I").replace("reconciler.dev", "reconcile.dev"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_document_that_cannot_be_told_holds_removals(case: str) -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a"), "b.yaml": model("b")})
    state = repository.commit({"x.yaml": UNREADABLE[case], "b.yaml": model("b")})
    assert state.unreadable == {"x.yaml"}
    assert not state.models["a"].removed


@pytest.mark.parametrize("files", [{}, {"a.yaml": "# moved\n"}, {"k.yaml": "kind: Kustomization\n"}])
def test_no_document_at_all_is_never_an_empty_state(files: dict[str, str]) -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a")})
    state = repository.commit(files)
    assert [d.code for d in state.diagnostics if d.severity.value == "error"] == ["no-documents"]
    assert state.unreadable
    assert not state.models["a"].removed


def test_all_models_can_be_removed_where_the_policy_stays() -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a"), "policy.yaml": policy("deletion: {models: 1}")})
    assert repository.commit({"policy.yaml": policy("deletion: {models: 1}")}).models["a"].removed


def test_two_documents_of_one_name_are_both_refused_and_named() -> None:
    repository = Repository()
    good = repository.commit({"a.yaml": model("a")}).models["a"]
    state = repository.commit({"a.yaml": model("a", "suspend: true"), "b.yaml": "---\n" + model("a")})
    assert state.models["a"].spec is good.spec
    message = 'two documents are named "a": a.yaml:1 and b.yaml:2; none of them is used'
    assert [(d.path, d.message) for d in state.diagnostics] == [("a.yaml", message), ("b.yaml", message)]
    assert repository.commit({"a.yaml": model("a", "suspend: true")}).models["a"].spec.suspend


def test_two_documents_for_one_registered_model_are_both_refused_and_named() -> None:
    repository = Repository()
    good = repository.commit({"a.yaml": model("a")}).models["a"]
    state = repository.commit({"a.yaml": model("a"), "b.yaml": model("b", "registeredModel: a")})
    assert list(state.models) == ["a"]
    assert state.models["a"].spec is good.spec
    assert {d.message for d in state.diagnostics} == {
        '"a" and "b" both want the registered model "a": a.yaml:1 and b.yaml:1; none of them is used'
    }


def test_document_cannot_take_the_registered_model_of_one_that_is_invalid_now() -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a")})
    state = repository.commit({"a.yaml": model("a", "x: 1"), "b.yaml": model("b", "registeredModel: a")})
    assert list(state.models) == ["a"]
    assert state.diagnostics[-1].message == (
        'the registered model "a" still belongs to "a" (a.yaml:1): its last good spec is in force'
    )


def test_renamed_document_does_not_archive_what_it_wants_to_serve() -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a")})
    renamed = {"a.yaml": model("b", "registeredModel: a")}
    state = repository.commit(renamed)
    assert list(state.models) == ["a"]
    assert not state.models["a"].removed
    assert "duplicate-registered-model" in {d.code for d in state.diagnostics}


def test_document_renamed_after_retain_goes_on() -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a", "retention: {onRemoval: retain}")})
    state = repository.commit({"a.yaml": model("b", "registeredModel: a")})
    assert state.models["a"].removed
    assert not state.models["b"].removed
    assert state.diagnostics == ()


def test_defaults_lie_under_every_spec_and_lists_are_replaced() -> None:
    defaults = """
    defaults:
      rollout: {deadline: 10m, steps: [{traffic: 5, hold: 1m}, {traffic: 50, hold: 1m}]}
      training: {timeout: 1h}
    """
    own = "rollout: {steps: [{traffic: 20, hold: 2m}]}"
    state = state_of({"a.yaml": model("a", own), "policy.yaml": policy(defaults)})
    spec = state.models["a"].spec
    assert spec.rollout.deadline.total_seconds() == 600
    assert [step.traffic for step in spec.rollout.steps] == [20]
    assert spec.training is None


def test_defaults_of_training_count_where_a_model_trains() -> None:
    files = {
        "a.yaml": model("a", TRAINED),
        "p.yaml": PIPELINE.replace("defaultValue: cm", "defaultValue: m"),
        "policy.yaml": policy("defaults: {training: {timeout: 1h}}"),
    }
    training = state_of(files).models["a"].spec.training
    assert training is not None
    assert training.timeout.total_seconds() == 3600


def test_two_policies_are_refused_by_name_and_the_one_before_stays() -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a"), "p.yaml": policy("deletion: {models: 1}")})
    state = repository.commit(
        {"a.yaml": model("a"), "p.yaml": policy("deletion: {models: 2}"), "q.yaml": policy("deletion: {}", "other")}
    )
    assert state.policy.deletion.models == 1
    assert [d.message for d in state.diagnostics] == [
        "a repository has one RepositoryPolicy; policy is one of 2: see q.yaml:1 (other)",
        "a repository has one RepositoryPolicy; other is one of 2: see p.yaml:1 (policy)",
    ]


@pytest.mark.parametrize("wrong", [policy("x: 1"), policy("x: [").replace("spec", "spec:")])
def test_policy_that_cannot_be_read_freezes_a_process_that_never_saw_it(wrong: str) -> None:
    repository = Repository()
    good = repository.commit({"a.yaml": model("a"), "p.yaml": policy("deletion: {models: 1}")}).models["a"]
    before = repository.commit({"a.yaml": model("a"), "p.yaml": wrong})
    assert before.policy.deletion.models == 1
    assert before.models["a"] is good
    repository.restart()
    after = repository.commit({"a.yaml": model("a", "suspend: true"), "p.yaml": wrong})
    assert after.policy.freezes
    assert after.models["a"].spec == good.spec
    assert [d.code for d in after.models["a"].stale] == ["policy-unknown"]


def test_unchanged_models_stay_the_same_objects_with_the_commit_that_changed_them() -> None:
    repository = Repository()
    first = repository.commit({"a.yaml": model("a"), "b.yaml": model("b")})
    second = repository.commit({"a.yaml": model("a"), "b.yaml": model("b", "suspend: true")})
    assert second.models["a"] is first.models["a"]
    assert second.models["b"].commit == commit(2)


def test_restart_keeps_the_commit_of_what_did_not_change() -> None:
    repository = Repository()
    repository.commit({"a.yaml": model("a")})
    repository.last_good = {name: from_json(to_json(m)) for name, m in repository.last_good.items()}
    repository.restart()
    assert repository.commit({"a.yaml": model("a"), "b.yaml": model("b")}).models["a"].commit == commit(1)


def test_named_file_that_changes_changes_its_models_alone() -> None:
    repository = Repository()
    files = {"a.yaml": model("a", TRAINED), "b.yaml": model("b"), "p.yaml": PIPELINE}
    first = repository.commit(files)
    second = repository.commit({**files, "p.yaml": PIPELINE + "# changed\n"})
    assert second.models["a"].commit == commit(2)
    assert second.models["a"].files["p.yaml"].endswith(b"# changed\n")
    assert second.models["b"] is first.models["b"]


def test_named_file_that_vanishes_and_returns() -> None:
    repository = Repository()
    files = {"a.yaml": model("a", TRAINED), "p.yaml": PIPELINE}
    first = repository.commit(files)
    missing = repository.commit({"a.yaml": files["a.yaml"]})
    assert missing.models["a"].files == first.models["a"].files
    assert [d.code for d in missing.models["a"].stale] == ["named-file"]
    assert repository.commit(files).models["a"] == first.models["a"]


def test_policy_that_changes_a_default_changes_models_and_another_does_not() -> None:
    repository = Repository()
    first = repository.commit({"a.yaml": model("a"), "p.yaml": policy("deletion: {models: 1}")})
    second = repository.commit({"a.yaml": model("a"), "p.yaml": policy("deletion: {models: 2}")})
    assert second.models["a"] is first.models["a"]
    third = repository.commit({"a.yaml": model("a"), "p.yaml": policy("defaults: {registeredModel: x}")})
    assert third.models["a"].registered_model == "x"
    assert third.models["a"].commit == commit(3)


def test_only_changed_files_are_parsed() -> None:
    parsed: list[str] = []

    def parse(path: str, data: bytes) -> ParsedFile:
        parsed.append(path)
        return parse_file(path, data)

    assembler = Assembler(parse)
    files = {f"m{number}.yaml": model(f"m{number}") for number in range(20)}
    assembler.assemble(commit(1), snapshot(files), {})
    parsed.clear()
    assembler.assemble(commit(2), snapshot({**files, "m7.yaml": model("m7", "suspend: true")}), {})
    assert parsed == ["m7.yaml"]


def test_the_same_commit_gives_the_same_state() -> None:
    files = {"a.yaml": model("a"), "b.yaml": model("b", "x: 1"), "c.yaml": BROKEN}
    assert state_of(files) == state_of(dict(reversed(files.items())))


def test_equal_sections_are_kept_once() -> None:
    rollout = "rollout: {steps: [{traffic: 20, hold: 2m}]}"
    models = state_of({"a.yaml": model("a", rollout), "b.yaml": model("b", rollout)}).models
    assert models["a"].spec.rollout is models["b"].spec.rollout


def test_removed_model_on_record_stays_removed_by_the_same_commit() -> None:
    gone = DesiredModel("a", ModelSpec(), commit(1), "a.yaml", removed=True)
    state = Assembler().assemble(commit(9), snapshot({"b.yaml": model("b")}), {"a": gone})
    assert state.models["a"].removed
    assert state.models["a"].commit == commit(1)


def test_policy_file_that_becomes_too_large_leaves_the_one_before_in_force() -> None:
    repository = Repository()
    rules = policy("deletion: {models: 1}")
    repository.commit({"a.yaml": model("a"), "p.yaml": rules})
    assert repository.commit({"a.yaml": model("a"), "p.yaml": rules + "#" * 2**24}).policy.deletion.models == 1


def test_named_file_above_the_limit_is_refused() -> None:
    state = state_of({"a.yaml": model("a", TRAINED.replace("p.yaml", "p.bin")), "p.bin": b"x" * (2**20 + 1)})
    assert [d.code for d in state.diagnostics] == ["named-file"]
