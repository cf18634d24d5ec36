"""The story that is told in every world: a first version, a second by canary, a third that fails and is rolled back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from tests.chaos.service import Service
from tests.chaos.world import World

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Chapter:
    """A commit, and the roles that its versions have in the end."""

    level: int
    wrong: bool
    serves: int
    roles: dict[int, str]


CHAPTERS = (
    Chapter(1, False, 1, {1: "Production"}),
    Chapter(2, False, 2, {1: "Archived", 2: "Production"}),
    Chapter(3, True, 2, {1: "Archived", 2: "Production", 3: "Archived"}),
)


def tell(service: Service, chapters: tuple[Chapter, ...] = CHAPTERS, patience: float = PATIENCE_SECONDS) -> None:
    """Tell the story to its end; whenever the service has died it is started again."""
    for chapter in chapters:
        service.world.want(chapter.level, wrong=chapter.wrong)
        keep_up_until(service, partial(ended, service.world, chapter), patience)


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
        time.sleep(0.05)


def ended(world: World, chapter: Chapter) -> bool:
    """Tell whether the world is as the chapter ends, and the reconciler says that nothing is left to do."""
    return status(world).get("phase") == "Idle" and _is_so(world, chapter)


def _is_so(world: World, chapter: Chapter) -> bool:
    found = world.registered()
    versions = {int(v["version"]): v for v in found["versions"]}
    roles = {number: v["current_stage"] for number, v in versions.items()}
    tags = {tag["key"] for v in versions.values() for tag in v.get("tags", [])}
    service = world.service()
    if roles != chapter.roles or "reconciler.dev/rollout" in tags or service is None:
        return False
    live = service.get("status", {}).get("components", {}).get("predictor", {}).get("traffic", [])
    split = service["spec"]["predictor"].get("canaryTrafficPercent")
    return split is None and len(live) == 1 and live[0]["percent"] == 100


def status(world: World) -> dict[str, Any]:
    """Ask the service how the model stands; empty while it does not answer."""
    return ask(world, f"models/{world.name}")


def ask(world: World, what: str) -> dict[str, Any]:
    """Ask the service's API; empty while it does not answer."""
    try:
        url = json.loads((world.state / "http.json").read_text(encoding="utf-8"))["url"]
        answer = httpx.get(f"{url}/api/v1/{what}", timeout=2, trust_env=False).raise_for_status()
        found: dict[str, Any] = answer.json()
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return {}
    return found


def standing(world: World) -> str:
    """Say how everything stands, for a test that failed."""
    return json.dumps({"status": status(world), "registry": world.registered()}, indent=1)[:6000]
