"""What a story left behind: the end state, compared with the calm one's, and what the ledger says of the way there."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reconciler.audit.database import open_for_reading
from reconciler.audit.ledger import LedgerReader
from reconciler.observed import TAG_PREFIX
from reconciler.ports import Moment, Recorded
from tests.chaos.training import KEY
from tests.chaos.world import Json, World

_TIMES = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+(\+00:00|Z)")


def ending(world: World) -> Json:
    """Return the end state without what differs from run to run: names, times, ids, measured figures."""
    registered = world.registered()
    sources = {v["source"].removeprefix("mlflow-artifacts:"): v["version"] for v in registered["versions"]}
    state = {
        "model": {"tags": _tags(registered["model"]), "aliases": _aliases(registered["model"])},
        "versions": {
            v["version"]: {"stage": v["current_stage"], "aliases": sorted(v.get("aliases", [])), "tags": _tags(v)}
            for v in sorted(registered["versions"], key=lambda v: int(v["version"]))
        },
        "service": _service(world, sources),
        "trainings": len(world.trainer.started()),
    }
    return json.loads(_TIMES.sub("<time>", json.dumps(state).replace(world.name, "<model>")))  # type: ignore[no-any-return]  # as above


def _tags(holder: Json) -> dict[str, Any]:
    tags = {tag["key"]: tag["value"] for tag in holder.get("tags", []) if tag["key"].startswith(TAG_PREFIX)}
    if (rejected := tags.get(f"{TAG_PREFIX}rejected")) is not None:
        # The reason counts requests.
        tags[f"{TAG_PREFIX}rejected"] = {k: v for k, v in json.loads(rejected).items() if k in ("release", "wanted")}
    return tags


def _aliases(model: Json) -> dict[str, str]:
    return {each["alias"]: str(each["version"]) for each in model.get("aliases", [])}


def _service(world: World, sources: dict[str, str]) -> Json:
    found = world.service()
    if found is None:
        return {"revisions": world.revisions()}
    text = json.dumps(found["spec"])
    for source, version in sources.items():
        text = text.replace(f"file://{world.mlflow.artifacts}{source}", f"<artifact of version {version}>")
    traffic = found["status"]["components"]["predictor"]["traffic"]
    return {
        "spec": json.loads(text),
        "labels": found["metadata"].get("labels", {}),
        "annotations": found["metadata"].get("annotations", {}),
        "traffic": [(t["percent"], t.get("tag", ""), t.get("latestRevision")) for t in traffic],
        "revisions": world.revisions(),
    }


def entries(ledger: Path) -> Sequence[Recorded]:
    """Read the ledger, and fail unless its chain verifies."""
    database = open_for_reading(f"sqlite:///{ledger}")
    try:
        reader = LedgerReader(database)
        verified = reader.verify()
        assert verified.ok, verified
        return reader.entries()
    finally:
        database.close()


def check(world: World, crashes: int) -> None:
    """Hold the way there against what must always be true. `crashes` is how often the process was ended hard."""
    recorded = entries(world.state / "ledger.db")
    check_intents(recorded, crashes)
    assert set(world.trainer.started().values()) <= {1}, f"trained twice: {world.trainer.started()}"
    keys = Counter(t["value"] for v in world.registered()["versions"] for t in v.get("tags", []) if t["key"] == KEY)
    assert set(keys.values()) <= {1}, f"registered twice: {keys}"
    assert world.callers.answered > 0, "nobody ever got an answer"
    assert world.callers.lost == [], f"callers were left alone: {world.callers.lost[:3]}"


def check_intents(recorded: Sequence[Recorded], crashes: int) -> None:
    outcomes = Counter(r.entry.attempt_of for r in recorded if r.entry.moment is Moment.OUTCOME)
    intents = [r for r in recorded if r.entry.moment is Moment.INTENT]
    assert set(outcomes) <= {r.seq for r in intents}, "an outcome without intent"
    assert set(outcomes.values()) <= {1}, "an intent with two outcomes"
    open_ones = [r for r in intents if r.seq not in outcomes]
    assert len(open_ones) <= crashes, f"{len(open_ones)} intents without outcome, {crashes} crashes: {open_ones}"
    # After an end in the middle the world was looked at anew, and the next thing was intended from there.
    assert all(any(later.seq > r.seq for later in intents) for r in open_ones[:-1])
