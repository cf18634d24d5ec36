"""Commits that history does not lead to: forced pushes, stale mirrors, restarts, and whose consent counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from reconciler.ports import SourceStatus
from reconciler.settings import GitSettings
from tests.desired.world import model
from tests.source.repositories import Follower, Kept, Origin

Start = Callable[..., Follower]
POLICY = (
    "apiVersion: reconciler.dev/v1alpha1\nkind: RepositoryPolicy\nmetadata: {name: policy}\n"
    "spec: {history: {rewrites: %s}}\n"
)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def start(tmp_path: Path, origin: Origin) -> Start:
    """Return a function that starts a process; all of them share what survives a restart."""
    kept = Kept()

    def process(**settings: object) -> Follower:
        return Follower(tmp_path / "state", GitSettings.model_validate({"url": str(origin.path), **settings}), kept)

    return process


def commit_of(status: SourceStatus) -> str:
    assert status.commit is not None
    return status.commit.id


def rewritten(origin: Origin, policy: str | None = None) -> str:
    """Replace the newest commit by another, as a forced push does, and return the new one."""
    origin.git("reset", "--hard", "HEAD~1")
    return origin.commit({"c.yaml": model("c"), **({"policy.yaml": POLICY % policy} if policy else {})})


def test_a_forced_push_is_not_followed_and_says_what_to_do(origin: Origin, start: Start) -> None:
    origin.commit({"a.yaml": model("a")})
    old = origin.commit({"b.yaml": model("b")})
    follower = start()
    follower.act()
    new = rewritten(origin)
    status = follower.act()
    assert (commit_of(status), status.refused, status.failing_since) == (old, new, follower.clock.now)
    assert f"{new}, which does not descend from {old}" in status.error
    assert f"set git.acceptRewrite to {new}" in status.error
    assert set(follower.models()) == {"a", "b"}


def test_a_forced_push_stays_refused_after_a_restart_and_also_where_the_mirror_was_lost(
    origin: Origin, start: Start, tmp_path: Path
) -> None:
    origin.commit({"a.yaml": model("a")})
    old = origin.commit({"b.yaml": model("b")})
    start().act()
    new = rewritten(origin)
    status = start().act()
    assert (commit_of(status), status.refused) == (old, new)
    shutil.rmtree(tmp_path / "state")
    without_mirror = start()
    status = without_mirror.source.fetch()
    assert (status.commit, status.refused) == (None, new)
    assert without_mirror.source.desired() is None


def test_a_lost_mirror_is_made_anew_where_history_goes_on(origin: Origin, start: Start, tmp_path: Path) -> None:
    origin.commit({"a.yaml": model("a")})
    start().act()
    shutil.rmtree(tmp_path / "state")
    new = origin.commit({"b.yaml": model("b")})
    status = start().act()
    assert (commit_of(status), status.error) == (new, "")


@pytest.mark.parametrize("policy", ["follow", "refuse"])
def test_the_policy_at_the_last_commit_acted_on_decides_and_not_the_rewritten_one(
    origin: Origin, start: Start, policy: str
) -> None:
    other = "refuse" if policy == "follow" else "follow"
    origin.commit({"a.yaml": model("a"), "policy.yaml": POLICY % policy})
    old = origin.commit({"b.yaml": model("b")})
    follower = start()
    follower.act()
    new = rewritten(origin, other)
    status = follower.act()
    followed = policy == "follow"
    assert commit_of(status) == (new if followed else old)
    assert (status.rewritten_from, status.refused) == ((old, None) if followed else (None, new))
    assert set(follower.models()) == ({"a", "c"} if followed else {"a", "b"})


def test_after_a_rewrite_was_followed_history_is_held_to_the_new_commit(origin: Origin, start: Start) -> None:
    origin.commit({"a.yaml": model("a"), "policy.yaml": POLICY % "follow"})
    old = origin.commit({"b.yaml": model("b")})
    follower = start()
    follower.act()
    rewritten(origin, "refuse")
    assert follower.act().rewritten_from == old
    assert follower.act().rewritten_from is None
    newest = origin.commit({"d.yaml": model("d")})
    assert commit_of(follower.act()) == newest
    origin.git("reset", "--hard", old)
    assert commit_of(follower.act()) == newest


def test_a_rewrite_is_told_again_until_it_was_acted_on(origin: Origin, start: Start) -> None:
    """A process that dies between following and recording leaves the record to the next."""
    origin.commit({"a.yaml": model("a"), "policy.yaml": POLICY % "follow"})
    old = origin.commit({"b.yaml": model("b")})
    start().act()
    rewritten(origin)
    assert start().source.fetch().rewritten_from == old
    assert start().source.fetch().rewritten_from == old


def test_a_stale_mirror_is_refused_and_followed_again_once_it_is_fresh(origin: Origin, start: Start) -> None:
    origin.commit({"a.yaml": model("a")})
    origin.git("branch", "older")
    newest = origin.commit({"b.yaml": model("b")})
    follower = start()
    follower.act()
    origin.git("branch", "fresh")
    origin.git("reset", "--hard", "older")
    status = follower.act()
    assert commit_of(status) == newest
    assert "which is older than" in status.error
    assert commit_of(start().act()) == newest
    origin.git("reset", "--hard", "fresh")
    status = follower.act()
    assert (commit_of(status), status.error, status.refused) == (newest, "", None)
    after = origin.commit({"c.yaml": model("c")})
    assert commit_of(follower.act()) == after


def test_settings_accept_one_rewrite_and_what_is_built_on_it(origin: Origin, start: Start) -> None:
    origin.commit({"a.yaml": model("a")})
    old = origin.commit({"b.yaml": model("b")})
    start().act()
    new = rewritten(origin)
    later = origin.commit({"d.yaml": model("d")})
    status = start(acceptRewrite=new).act()
    assert (commit_of(status), status.rewritten_from, status.error) == (later, old, "")


def test_a_rewrite_that_was_accepted_once_opens_no_door_to_a_stale_mirror(origin: Origin, start: Start) -> None:
    origin.commit({"a.yaml": model("a")})
    origin.commit({"b.yaml": model("b")})
    start().act()
    accepted = rewritten(origin)
    newest = origin.commit({"d.yaml": model("d")})
    assert commit_of(start(acceptRewrite=accepted).act()) == newest
    origin.git("reset", "--hard", accepted)
    assert commit_of(start(acceptRewrite=accepted).act()) == newest
    origin.commit({"e.yaml": model("e")})
    assert commit_of(start(acceptRewrite=accepted).act()) == newest


def test_an_unrelated_history_is_refused(origin: Origin, start: Start) -> None:
    old = origin.commit({"a.yaml": model("a")})
    follower = start()
    follower.act()
    origin.git("checkout", "--orphan", "elsewhere")
    foreign = origin.commit({"b.yaml": model("b")}, "Unrelated")
    origin.git("branch", "--force", "main", foreign)
    status = follower.act()
    assert (commit_of(status), status.refused) == (old, foreign)


def test_settings_that_name_another_branch_or_an_older_commit_are_consent(origin: Origin, start: Start) -> None:
    first = origin.commit({"a.yaml": model("a")})
    origin.git("branch", "release")
    origin.commit({"b.yaml": model("b")})
    start().act()
    assert commit_of(start(ref="release").act()) == first
    assert commit_of(start(ref=first).act()) == first


def test_a_commit_that_is_no_full_id_is_no_setting() -> None:
    with pytest.raises(ValidationError):
        GitSettings.model_validate({"acceptRewrite": "abc1234"})
