"""The simulated registry behind the real adapter: MlflowRegistry, over HTTP that never leaves the process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from reconciler.errors import Conflict, Terminal, Transient, UnknownOutcome
from reconciler.observed import ModelVersion, RegisteredModel, Stage, VersionEvidence
from reconciler.settings import MlflowSettings
from reconciler.systems.registry.rest import MlflowRegistry
from reconciler.systems.registry.transport import Wire
from tests.simulation.faults import LIFETIME, Kind, UnderWay
from tests.simulation.wire.http_faults import AFTER, BEFORE, HttpFault, answer_of, bent, response
from tests.simulation.wire.mlflow_api import Asked, Failure, MlflowApi
from tests.simulation.wire.mlflow_state import ARTIFACTS, ORIGIN, MlflowState

SETTINGS = MlflowSettings(tracking_uri=ORIGIN)
TIMEOUT = SETTINGS.timeout.total_seconds()


def calm(_: str) -> HttpFault:
    """Let nothing fail."""
    return HttpFault.CALM


@dataclass(slots=True)
class WireRegistry(MlflowState):
    """A SimRegistry whose port is the real adapter; `odd` chooses what happens to each exchange.

    `clock` and `wait` are the world's: sleeping and time-outs take its time.
    """

    clock: Callable[[], datetime] = field(kw_only=True)
    wait: Callable[[float], None] = field(kw_only=True)
    odd: Callable[[str], HttpFault] = field(kw_only=True, default=calm)
    later: Callable[[], int] = field(kw_only=True, default=int)
    exchanges: int = 0
    adapter: MlflowRegistry = field(init=False)
    api: MlflowApi = field(init=False)

    def __post_init__(self) -> None:
        self.api = MlflowApi(self)
        self.reopen()

    def reopen(self) -> None:
        """Begin a new process: the adapter forgets everything."""
        wire = Wire(_Http(self), lambda: self.clock().timestamp(), self.wait)
        self.adapter = MlflowRegistry(SETTINGS, wire)

    def read_all(self) -> Mapping[str, RegisteredModel]:
        return self.adapter.read_all()

    def read(self, name: str) -> RegisteredModel | None:
        return self.adapter.read(name)

    def evidence(self, name: str, version: ModelVersion) -> VersionEvidence:
        return self.adapter.evidence(name, version)

    def artifact(self, name: str, version: int, path: str) -> bytes | None:
        return self.adapter.artifact(name, version, path)

    def input_rows(self, name: str, version: int) -> Sequence[Any] | None:
        return self.adapter.input_rows(name, version)

    def set_stage(self, name: str, version: int, stage: Stage, still: Callable[[], None] = lambda: None) -> None:
        self.adapter.set_stage(name, version, stage, still)

    def tag(self, name: str, version: int, key: str, value: str | None) -> None:
        self.adapter.tag(name, version, key, value)

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        self.adapter.tag_model(name, key, value)

    def delete(self, name: str) -> None:
        self.adapter.delete(name)

    def exchange(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, or fail it."""
        self.exchanges += 1
        asked = _asked(request)
        fault = self.odd(str(asked))
        if fault is not HttpFault.CALM:
            self.faults.log.append(f"{asked}: {fault.value}")
        if fault in BEFORE:
            return answer_of(fault, BEFORE[fault])
        self._fail_before(fault, asked, request)
        return self._fail_after(fault, self._called(fault, asked, request), request)

    def _fail_before(self, fault: HttpFault, asked: Asked, request: httpx.Request) -> None:
        match fault:
            case HttpFault.UNREACHED:
                raise httpx.ConnectError("connection refused", request=request)
            case HttpFault.NO_CONNECTION:
                self.wait(TIMEOUT)
                raise httpx.ConnectTimeout("no connection", request=request)
            case HttpFault.CUT:
                raise httpx.ReadError("connection reset", request=request)
            case HttpFault.SILENT | HttpFault.LATE:
                if fault is HttpFault.LATE and asked.writes:
                    self.faults.before_write(str(asked))
                    until = self.clock() + timedelta(seconds=TIMEOUT) + LIFETIME
                    landing = UnderWay(str(asked), lambda: self._carry_out(asked, 0), self.later(), until)
                    self.faults.under_way.append(landing)
                self.wait(TIMEOUT)
                raise httpx.ReadTimeout("no answer", request=request)

    def _called(self, fault: HttpFault, asked: Asked, request: httpx.Request) -> httpx.Response:
        """Make the call, which may fail by the faults of every call too."""
        skipped = 1 if fault is HttpFault.SHIFTED else 0
        try:
            kind = Kind.WRITE if asked.writes else Kind.READ
            return self.faults.call(str(asked), lambda: self._spoiled(fault, self._carry_out(asked, skipped)), kind)
        except Conflict:
            return answer_of(HttpFault.CONFLICT, 409)
        except Terminal:
            return answer_of(HttpFault.FORBIDDEN, 403)
        except UnknownOutcome as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except Transient as error:
            raise httpx.ConnectError(str(error), request=request) from error

    def _carry_out(self, asked: Asked, skipped: int) -> tuple[int, Any]:
        try:
            if asked.path.startswith(ARTIFACTS):
                return 200, self.api.artifact(asked.path)
            return 200, self.api.answer(asked, skipped)
        except Failure as failure:
            return failure.status, failure.body

    def _spoiled(self, fault: HttpFault, answer: tuple[int, Any]) -> httpx.Response:
        status, body = answer
        if isinstance(body, bytes):
            return response(status, body)  # half a file is an error already where HTTP counts its bytes
        return response(status, bent(fault, body) if status == 200 else json.dumps(body).encode())

    def _fail_after(self, fault: HttpFault, answer: httpx.Response, request: httpx.Request) -> httpx.Response:
        match fault:
            case HttpFault.CUT_AFTER:
                raise httpx.ReadError("connection reset", request=request)
            case HttpFault.SILENT_AFTER:
                self.wait(TIMEOUT)
                raise httpx.ReadTimeout("no answer", request=request)
        return answer_of(fault, AFTER[fault]) if fault in AFTER else answer


class _Http(httpx.BaseTransport):
    """Carries requests to the simulated server and nowhere else."""

    def __init__(self, registry: WireRegistry) -> None:
        self._registry = registry

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert f"{request.url.scheme}://{request.url.netloc.decode()}" == ORIGIN, f"asked {request.url}"
        return self._registry.exchange(request)


def _asked(request: httpx.Request) -> Asked:
    content = request.read()
    body = json.loads(content) if content else {}
    return Asked(request.method, request.url.path, {**request.url.params, **body})
