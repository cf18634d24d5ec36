"""Following real repositories on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pygit2
import pytest

from reconciler.desired.files import MAX_FILES
from reconciler.errors import SettingsError
from reconciler.settings import GitSettings
from reconciler.source.git import GitSource, check_libgit2
from tests.desired.world import PIPELINE, model
from tests.source.conftest import Follow
from tests.source.repositories import Clock, Kept, Origin

TRAINED = "training: {kubeflowPipeline: {package: pipelines/p.yaml}}"


def test_before_the_first_fetch_nothing_is_known(origin: Origin, follow: Follow) -> None:
    origin.commit({"a.yaml": model("a")})
    assert follow().source.desired() is None


def test_branch_is_followed_from_commit_to_commit(origin: Origin, follow: Follow) -> None:
    first = origin.commit({"a.yaml": model("a")}, "Add a")
    follower = follow()
    status = follower.source.fetch()
    assert status.commit is not None
    assert (status.commit.id, status.commit.author) == (first, "Ana <ana@example.org>")
    assert (status.commit.subject, status.fetched_at, status.error) == ("Add a", follower.clock.now, "")
    before = follower.models()
    second = origin.commit({"b.yaml": model("b")})
    follower.source.fetch()
    after = follower.models()
    assert after["a"] is before["a"]
    assert after["b"].commit.id == second


def test_nothing_new_is_the_same_state(origin: Origin, follow: Follow) -> None:
    origin.commit({"a.yaml": model("a")})
    follower = follow()
    follower.source.fetch()
    follower.models()
    state = follower.source.desired()
    follower.source.fetch()
    assert follower.source.desired() is state


@pytest.mark.parametrize("kind", ["branch", "tag", "annotated tag", "commit", "commit that no branch ends with"])
def test_a_branch_a_tag_or_a_commit_can_be_followed(origin: Origin, follow: Follow, kind: str) -> None:
    wanted = origin.commit({"a.yaml": model("wanted")})
    origin.git("branch", "release/1")
    origin.git("tag", "v1")
    origin.git("tag", "--annotate", "v1-annotated", "--message", "one")
    if kind == "commit that no branch ends with":
        origin.git("branch", "--delete", "--force", "release/1")
    origin.commit({"a.yaml": model("other")})
    ref = {"branch": "release/1", "tag": "v1", "annotated tag": "v1-annotated"}.get(kind, wanted)
    follower = follow(ref=ref)
    status = follower.source.fetch()
    assert status.error == ""
    assert status.commit is not None
    assert status.commit.id == wanted
    assert list(follower.models()) == ["wanted"]


def test_file_urls_and_bare_repositories_work(origin: Origin, follow: Follow, tmp_path: Path) -> None:
    origin.commit({"a.yaml": model("a")})
    origin.git("clone", "--bare", ".", str(tmp_path / "bare.git"))
    follower = follow(url=f"file://{tmp_path}/bare.git")
    assert follower.source.fetch().error == ""
    assert list(follower.models()) == ["a"]


def test_only_documents_below_the_path_are_read_and_files_are_named_from_the_root(
    origin: Origin, follow: Follow
) -> None:
    files = {"deploy/a.yaml": model("a", TRAINED), "other/b.yaml": model("b"), "pipelines/p.yaml": PIPELINE}
    origin.commit(files)
    follower = follow(path="deploy")
    follower.source.fetch()
    models = follower.models()
    assert list(models) == ["a"]
    assert models["a"].path == "deploy/a.yaml"
    assert models["a"].files == {"pipelines/p.yaml": PIPELINE.encode()}


def test_failed_fetch_keeps_the_last_good_commit_and_says_since_when(origin: Origin, follow: Follow) -> None:
    first = origin.commit({"a.yaml": model("a")})
    follower = follow()
    follower.source.fetch()
    hidden = origin.path.rename(origin.path.with_name("away"))
    follower.clock.pass_minutes(1)
    failed_first = follower.clock.now
    follower.source.fetch()
    follower.clock.pass_minutes(1)
    status = follower.source.fetch()
    assert status.failing_since == failed_first
    assert "cannot fetch main from" in status.error
    assert status.commit is not None
    assert status.commit.id == first
    assert list(follower.models()) == ["a"]
    hidden.rename(origin.path)
    recovered = follower.source.fetch()
    assert (recovered.failing_since, recovered.error) == (None, "")


def test_vanished_branch_is_an_error_that_removes_nothing(origin: Origin, follow: Follow) -> None:
    origin.commit({"a.yaml": model("a")})
    follower = follow()
    follower.source.fetch()
    follower.models()
    origin.git("branch", "--move", "trunk")
    status = follower.source.fetch()
    assert "there is no branch or tag main" in status.error
    assert "it has the branches trunk" in status.error
    assert not follower.models()["a"].removed


@pytest.mark.parametrize("path", ["", "models"])
def test_empty_path_is_an_error_that_removes_nothing(origin: Origin, follow: Follow, path: str) -> None:
    first = origin.commit({"models/a.yaml": model("a"), "README.md": "hello"})
    follower = follow(path=path)
    follower.source.fetch()
    follower.models()
    origin.commit({"models/a.yaml": None})
    status = follower.source.fetch()
    assert "there is no YAML file" in status.error
    assert status.commit is not None
    assert status.commit.id == first
    assert not follower.models()["a"].removed


def test_restart_begins_with_the_last_good_commit_without_the_origin(origin: Origin, follow: Follow) -> None:
    first = origin.commit({"a.yaml": model("a")})
    follow().source.fetch()
    shutil.rmtree(origin.path)
    again = follow()
    assert list(again.models()) == ["a"]
    status = again.source.fetch()
    assert status.commit is not None
    assert status.commit.id == first
    assert status.failing_since == again.clock.now


def test_damaged_mirror_is_made_anew(origin: Origin, follow: Follow, tmp_path: Path) -> None:
    origin.commit({"a.yaml": model("a")})
    follow().source.fetch()
    (mirror,) = (tmp_path / "state" / "git").glob("*.git")
    (mirror / "HEAD").unlink()
    again = follow()
    assert again.source.fetch().error == ""
    assert list(again.models()) == ["a"]


def test_symlinks_are_refused_where_they_are_named_or_end_in_yaml(origin: Origin, follow: Follow) -> None:
    (origin.path / "evil.yaml").symlink_to("/etc/passwd")
    (origin.path / "harmless").symlink_to("/etc/passwd")
    (origin.path / "up").symlink_to("..")
    origin.commit(
        {
            "a.yaml": model("a", TRAINED.replace("pipelines/p.yaml", "harmless")),
            "b.yaml": model("b", TRAINED.replace("pipelines/p.yaml", "up/p.yaml")),
            "c.yaml": model("c"),
        }
    )
    follower = follow()
    follower.source.fetch()
    state = follower.source.desired()
    assert state is not None
    assert [(d.path, d.message) for d in state.diagnostics] == [
        ("a.yaml", "harmless is a symbolic link; links are not followed"),
        ("b.yaml", "up is a symbolic link; links are not followed"),
        ("evil.yaml", "a symbolic link; links are not followed"),
    ]
    assert list(state.models) == ["c"]


def test_submodules_are_refused_where_they_are_named_or_end_in_yaml(origin: Origin, follow: Follow) -> None:
    commit = origin.commit({"a.yaml": model("a", TRAINED.replace("pipelines", "vendor"))})
    for name in ("vendor", "b.yaml", "unnamed"):
        origin.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{name}")
    origin.git("commit", "--message", "Add submodules")
    follower = follow()
    follower.source.fetch()
    state = follower.source.desired()
    assert state is not None
    assert [(d.path, d.message) for d in state.diagnostics] == [
        ("a.yaml", "vendor is a submodule; submodules are not read"),
        ("b.yaml", "a submodule; submodules are not read"),
    ]


def test_file_above_the_limit_is_refused_and_hides_no_other(origin: Origin, follow: Follow) -> None:
    origin.commit({"a.yaml": "# " + "x" * 2**20 + "\n" + model("a"), "b.yaml": model("b")})
    follower = follow()
    follower.source.fetch()
    state = follower.source.desired()
    assert state is not None
    (diagnostic,) = state.diagnostics
    assert diagnostic.severity.value == "error"
    assert "at most 1,048,576 (1 MiB) are read" in diagnostic.message
    assert list(state.models) == ["b"]


def test_large_file_of_somebody_else_is_a_warning_that_holds_nothing(origin: Origin, follow: Follow) -> None:
    origin.commit({"a.yaml": model("a"), "b.yaml": model("b"), "crds.yaml": "kind: Other\n" + "# x\n" * 2**19})
    follower = follow()
    follower.source.fetch()
    assert set(follower.models()) == {"a", "b"}
    origin.commit({"a.yaml": None})
    follower.source.fetch()
    state = follower.source.desired()
    assert state is not None
    assert [d.severity.value for d in state.diagnostics] == ["warning"]
    assert state.models["a"].removed


def test_too_many_files_keep_the_last_good_commit(origin: Origin, follow: Follow) -> None:
    first = origin.commit({"a.yaml": model("a")})
    follower = follow()
    follower.source.fetch()
    blob = origin.git("rev-parse", "HEAD:a.yaml")
    lines = "".join(f"100644 blob {blob}\tm{number}.yaml\n" for number in range(MAX_FILES + 1))
    origin.git("update-index", "--index-info", stdin=lines)
    origin.git("commit", "--message", "Too many")
    status = follower.source.fetch()
    assert f"more than {MAX_FILES:,} YAML files" in status.error
    assert status.commit is not None
    assert status.commit.id == first


def test_author_of_any_commit_can_be_looked_up(origin: Origin, follow: Follow) -> None:
    first = origin.commit({"a.yaml": model("a")}, "First\n\nmore")
    origin.commit({"b.yaml": model("b")})
    follower = follow()
    follower.source.fetch()
    found = follower.source.commit(first)
    assert found is not None
    assert (found.author, found.subject) == ("Ana <ana@example.org>", "First")
    assert follower.source.commit("0" * 40) is None


REFUSED = {
    "ssh without known hosts": ({"url": "git@example.org:a/b.git"}, "ssh without git.knownHosts would trust any host"),
    "ssh with a url without known hosts": ({"url": "ssh://example.org/a.git"}, "ssh without git.knownHosts"),
    "known hosts that are not there": (
        {"url": "ssh://example.org/a.git", "knownHosts": "/none"},
        "there is no file /none",
    ),
    "a password in the address": ({"url": "https://me:secret@example.org/a.git"}, "git.url holds a password"),
    "a token in the clear": ({"url": "http://example.org/a.git", "token": {"env": "X"}}, "in the clear"),
    "another scheme": ({"url": "ftp://example.org/a.git"}, "the scheme ftp:// is not supported"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_trust_or_tell_too_much_are_refused(case: str, tmp_path: Path) -> None:
    settings, message = REFUSED[case]
    with pytest.raises(SettingsError) as error:
        GitSource(GitSettings.model_validate(settings), tmp_path, Clock(), Kept())
    assert message in error.value.message
    assert "secret" not in error.value.message
    assert error.value.help


def test_old_libgit2_is_refused() -> None:
    check_libgit2("1.9.7")
    check_libgit2("1.10.0")
    with pytest.raises(SettingsError, match=r"libgit2 1.9.6 is too old; at least 1.9.7"):
        check_libgit2("1.9.6")


def test_libgit2_is_checked_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pygit2, "LIBGIT2_VERSION", "1.7.1")
    with pytest.raises(SettingsError, match=r"libgit2 1.7.1 is too old"):
        GitSource(GitSettings(url="/nowhere"), tmp_path / "state", Clock(), Kept())
    assert not (tmp_path / "state").exists()
