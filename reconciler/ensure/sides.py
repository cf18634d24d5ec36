"""Who the two sides of a measurement are, as the route tells."""

from __future__ import annotations

from reconciler.ensure.scene import Scene
from reconciler.errors import Refused
from reconciler.observed import TrafficTarget
from reconciler.plan.facts import latest_target, taken_up


def candidate_target(scene: Scene) -> TrafficTarget | None:
    """Return the candidate's side, None where the route has none. Raises Refused where it is somebody else's still."""
    live, rollout = scene.live(), scene.facts.rollout
    target = latest_target(live)
    if target is None:
        return None
    if not taken_up(live) or (rollout is not None and target.revision == rollout.stable_revision):
        raise Refused(
            f"the route of {live.namespace}/{live.name} still takes {target.revision} for the candidate",
            help=f"it is asked again once the route has taken up {live.latest_created}",
        )
    return target
