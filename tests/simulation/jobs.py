"""Kubernetes Jobs as a small state machine: each ends when it is looked at again, badly for a bad version."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.errors import Refused
from reconciler.ports import JobRequest
from tests.simulation.faults import Faults, Kind


@dataclass(slots=True)
class SimJobs:
    """Implements ports.Jobs. `evicting` ends jobs without an exit code; `begun` are all that ever were."""

    faults: Faults
    bad: set[int]
    there: dict[tuple[str, str], JobRequest] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    evicting: bool = False

    def exit_code(self, request: JobRequest) -> int | None:
        key = (request.namespace, request.name)
        if key not in self.faults.call(f"jobs.read {request.model}", lambda: dict(self.there), Kind.READ):
            self.faults.call(f"jobs.create {request.model}", lambda: self._begin(key, request))
            return None
        if self.evicting:
            self.remove(request.namespace, request.name)
            raise Refused(f"Job {request.name} ended without an exit code: evicted")
        return 3 if int(request.env["VERSION"]) in self.bad else 0

    def remove(self, namespace: str, name: str) -> None:
        request = self.there.get((namespace, name))
        model = request.model if request else name.partition("-")[0]
        self.faults.call(f"jobs.delete {model}", lambda: self.there.pop((namespace, name), None))

    def _begin(self, key: tuple[str, str], request: JobRequest) -> None:
        if key not in self.there:
            self.there[key] = request
            self.begun.append(request.name)
