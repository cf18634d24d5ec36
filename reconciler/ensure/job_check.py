"""Run a Job whose exit code tells of the candidate; it is begun, looked at, and removed once it ended."""

from __future__ import annotations

from reconciler.desired.checks import Check, JobCheck
from reconciler.desired.digest import digest
from reconciler.ensure.scene import Scene
from reconciler.ensure.sides import candidate_target
from reconciler.errors import Refused
from reconciler.observed import InferenceService, JobRun, Measurement, Side, TrafficTarget
from reconciler.plan.action import Analyse
from reconciler.plan.facts import previous_target
from reconciler.ports import JobRequest

_NOTHING = Side(0, 0)
_LONGEST_NAME = 50


def measure_job(action: Analyse, check: Check, job: JobCheck, scene: Scene) -> Measurement:
    """Begin the step's job, or read how it ended; a job that ended without an exit code is an error."""
    request = _request(action, check, job, scene)
    code = scene.systems.jobs.exit_code(request)
    if code is not None:
        scene.systems.jobs.remove(request.namespace, request.name)
    run = JobRun(request.name, code)
    return Measurement(check.name, action.release, action.step, scene.systems.clock(), _NOTHING, _NOTHING, job=run)


def _request(action: Analyse, check: Check, job: JobCheck, scene: Scene) -> JobRequest:
    live, rollout = scene.live(), scene.facts.rollout
    given = {
        "CANDIDATE_URL": _url(live, candidate_target(scene), "latest"),
        "STABLE_URL": _url(live, previous_target(live), "prev"),
        "MODEL": live.name,
        "VERSION": str(action.release.version),
        "NAMESPACE": live.namespace,
    }
    started = rollout.started.isoformat() if rollout else ""
    # One that ended is followed by another: deterministic, so that no crash begins a second one.
    ended = sum(m.job is not None and m.job.exit_code is not None for m in _made(action, scene))
    key = digest([str(action.release), started, action.step, check.name, ended])
    return JobRequest(
        namespace=live.namespace,
        name=f"{f'{live.name}-{check.name}'[:_LONGEST_NAME].rstrip('-')}-{key}",
        model=scene.desired.name,
        image=job.image,
        command=job.command,
        args=job.args,
        env={**job.env, **given},
        timeout=job.timeout,
    )


def _made(action: Analyse, scene: Scene) -> list[Measurement]:
    wanted = (action.check, action.release, action.step)
    return [m for m in scene.observed.memory.measurements if (m.check, m.release, m.step) == wanted]


def _url(live: InferenceService, target: TrafficTarget | None, tag: str) -> str:
    if target is None or target.url is None:
        raise Refused(f"the route of {live.namespace}/{live.name} has no address tagged {tag}")
    return target.url
