"""The story that is told in every world, from a first version to the end of the model.

A second version comes by canary; a third fails and is rolled back; a fourth training is under way when the spec leaves
Git: it is stopped, and the model is taken down.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from tests.chaos.ending import ending
from tests.chaos.service import Service
from tests.chaos.training import ENDLESS
from tests.chaos.world import Json, World

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Chapter:
    """A commit, and how it ends: the roles of the versions, and a training that goes on. Without a level: no spec."""

    level: int | None
    roles: dict[int, str]
    wrong: bool = False
    training: bool = False


_ROLLED_BACK = {1: "Archived", 2: "Production", 3: "Archived"}
CHAPTERS = (
    Chapter(1, {1: "Production"}),
    Chapter(2, {1: "Archived", 2: "Production"}),
    Chapter(3, _ROLLED_BACK, wrong=True),
    Chapter(ENDLESS, _ROLLED_BACK, training=True),
    Chapter(None, {1: "Archived", 2: "Archived", 3: "Archived"}),
)


def tell(service: Service, chapters: Sequence[Chapter] = CHAPTERS, patience: float = PATIENCE_SECONDS) -> list[Json]:
    """Tell the story to its end, and return how each chapter ended; a service that has died is started again."""
    endings = []
    for chapter in chapters:
        service.world.want(chapter.level, wrong=chapter.wrong)
        keep_up_until(service, partial(ended, service.world, chapter), patience)
        endings.append(ending(service.world))
    return endings


def keep_up_until(service: Service, done: Callable[[], bool], patience: float = PATIENCE_SECONDS) -> None:
    """Wait; starts the service whenever it does not run. The patience is for each of its lives."""
    lives, ends = service.lives, time.monotonic() + patience
    while True:
        if not service.alive():
            service.start()
        if service.lives != lives:
            lives, ends = service.lives, time.monotonic() + patience
        if done():
            return
        assert time.monotonic() < ends, f"{standing(service.world)}\n{service.log()[-6000:]}"
        time.sleep(0.1)


def ended(world: World, chapter: Chapter) -> bool:
    """Tell whether the world is as the chapter ends, and the reconciler says that nothing is left to do."""
    # What the reconciler says first: as long as it is busy, nobody else needs to be asked.
    if not (_forgotten(world) if chapter.level is None else _has_done(world, chapter)):
        return False
    versions = world.registered()["versions"]
    if {int(v["version"]): v["current_stage"] for v in versions} != chapter.roles:
        return False
    return world.service() is None if chapter.level is None else _is_calm(world, versions)


def _has_done(world: World, chapter: Chapter) -> bool:
    running = world.trainer.states()["RUNNING"] > 0
    phase = status(world).get("phase")
    return running == chapter.training and phase == ("Training" if chapter.training else "Idle")


def _is_calm(world: World, versions: list[Json]) -> bool:
    service = world.service()
    if service is None or "reconciler.dev/rollout" in {t["key"] for v in versions for t in v.get("tags", [])}:
        return False
    live = service.get("status", {}).get("components", {}).get("predictor", {}).get("traffic", [])
    split = service["spec"]["predictor"].get("canaryTrafficPercent")
    return split is None and len(live) == 1 and live[0]["percent"] == 100


def _forgotten(world: World) -> bool:
    """Tell whether the reconciler has read Git, and knows of no model."""
    git = [each for each in ask(world, "systems").get("items", []) if each["name"] == "git"]
    return bool(git) and bool(git[0]["ok"]) and ask(world, "models").get("items") == []


def status(world: World) -> dict[str, Any]:
    """Ask the service how the model stands; empty while it does not answer."""
    return ask(world, f"models/{world.name}")


def ask(world: World, what: str) -> dict[str, Any]:
    """Ask the service's API; empty while it does not answer."""
    said = _said(world, f"api/v1/{what}")
    found: dict[str, Any] = json.loads(said) if said else {}
    return found


def metrics(world: World) -> str:
    """Ask the service for its metrics; empty while it does not answer."""
    return _said(world, "metrics")


def _said(world: World, path: str) -> str:
    try:
        url = json.loads((world.state / "http.json").read_text(encoding="utf-8"))["url"]
        return world.http.get(f"{url}/{path}", timeout=2).raise_for_status().text
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return ""


def standing(world: World) -> str:
    """Say how everything stands, for a test that failed."""
    return json.dumps({"status": status(world), "registry": world.registered()}, indent=1)[:6000]
