"""A repository and somebody who follows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.settings import GitSettings
from tests.source.repositories import Follower, Origin

Follow = Callable[..., Follower]


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """Return an empty repository."""
    return Origin(tmp_path / "origin")


@pytest.fixture
def follow(tmp_path: Path, origin: Origin) -> Follow:
    """Return a function that starts to follow the repository, with other settings where they are given."""

    def start(**settings: object) -> Follower:
        return Follower(tmp_path / "state", GitSettings.model_validate({"url": str(origin.path), **settings}))

    return start
