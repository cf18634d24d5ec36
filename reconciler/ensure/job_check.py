"""Run a Job whose exit code tells of the candidate; it is begun, looked at, and removed once it ended."""

from __future__ import annotations

from reconciler.desired.checks import Check, JobCheck
from reconciler.desired.digest import digest
from reconciler.desired.question import question_of
from reconciler.ensure.scene import Scene
from reconciler.ensure.sides import candidate_target
from reconciler.errors import Refused
from reconciler.observed import InferenceService, JobRun, Measurement, Side, TrafficTarget
from reconciler.plan.action import Analyse
from reconciler.plan.evidence import evidence_of
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
    # One that ended is followed by another, and so is one that Git changed: deterministic, so that no crash begins a
    # second one.
    made = evidence_of(scene.facts, check, action.release, action.step)
    ended = sum(m.forgotten + (m.job is not None and m.job.exit_code is not None) for m in made)
    question = question_of(check, scene.desired.files)
    key = digest([str(action.release), started, action.step, check.name, question, ended])
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


def _url(live: InferenceService, target: TrafficTarget | None, tag: str) -> str:
    if target is None or target.url is None:
        raise Refused(f"the route of {live.namespace}/{live.name} has no address tagged {tag}")
    return target.url
