"""Trainings that end with their test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.observed import Package, RunState, TrainingRequest, TrainingRun
from reconciler.systems.training.local import LocalTraining, child_environment
from tests.systems.training import pipelines

ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED)


def now() -> datetime:
    return datetime.now(UTC)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition of the world; fails when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {seconds} s")
        time.sleep(0.05)


def open_training(runs_dir: Path, tracking_uri: str = "http://127.0.0.1:9", parallel: int = 4) -> LocalTraining:
    """Build the backend as a started reconciler does."""
    environment = child_environment(os.environ, tracking_uri)
    return LocalTraining(runs_dir, tracking_uri=tracking_uri, environment=environment, parallel=parallel, clock=now)


def request(pipeline: Package, parameters: dict[str, Any], attempt: int = 1, timeout: float = 120) -> TrainingRequest:
    """Ask for one training of iris."""
    return TrainingRequest("iris", "k1", attempt, "iris-chef", pipeline, parameters, timedelta(seconds=timeout))


def ended(training: LocalTraining, attempt: int = 1) -> TrainingRun:
    """Wait for the end of an attempt and return how it ended."""

    def run() -> TrainingRun:
        return next(each for each in training.runs("iris") if each.attempt == attempt)

    until(lambda: run().state in ENDED)
    return run()


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def training(runs_dir: Path) -> Iterator[LocalTraining]:
    backend = open_training(runs_dir)
    yield backend
    backend.stop_all()


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    folder = tmp_path_factory.mktemp("packages")
    every = (pipelines.writes, pipelines.fails, pipelines.sleeps, pipelines.vanishes)
    return {each.name: pipelines.package(each, folder) for each in every}
