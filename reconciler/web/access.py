"""Who a request comes from, and whether it may: bearer tokens only, so that no browser sends one unasked."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.errors import SettingsError
from reconciler.logs import get_logger
from reconciler.web.answers import Json
from reconciler.web.problems import MEDIA_TYPE, problem
from reconciler.web.tokens import Holder, Role, TokenFile

_log = get_logger(__name__)

HOLDER = "holder"
"""Under which key of the request's state its holder stands."""

NO_TOKENS = "orders are not taken: this service has no token file"
HOW = (
    "write lines `NAME view|operate TOKEN` to a file of mode 600, name it in the settings as api.tokens "
    "(RECONCILER_API__TOKENS), and start the service again"
)
_SEND = "send the header Authorization: Bearer TOKEN; commands take it from RECONCILER_TOKEN or --token-file"
_READING = ("GET", "HEAD")
_LONGEST_TOKEN = 4096


class Access:
    """Lets requests to /api/ pass whose token is good for them; without a token file only those that read."""

    def __init__(self, app: ASGIApp, tokens: TokenFile | None) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, or refuse it."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        found = self._judge(scope["method"], dict(scope["headers"]).get(b"authorization", b""))
        if isinstance(found, Holder):
            scope.setdefault("state", {})[HOLDER] = found
        await (found if isinstance(found, Json) else self._app)(scope, receive, send)

    def _judge(self, method: str, header: bytes) -> Holder | Json | None:
        if self._tokens is None:
            return None if method in _READING else _refuse(HTTPStatus.FORBIDDEN, NO_TOKENS, HOW)
        kind, _, token = header.decode("latin-1").strip().partition(" ")
        if kind.lower() != "bearer" or not token.strip() or len(token) > _LONGEST_TOKEN:
            return _refuse(HTTPStatus.UNAUTHORIZED, "this needs a token", _SEND)
        try:
            holder = self._tokens.holder(token.strip())
        except SettingsError as error:
            _log.error(error.message, help=error.help)
            return _refuse(
                HTTPStatus.SERVICE_UNAVAILABLE, "the token file cannot be used", "the service's log tells why"
            )
        if holder is None:
            return _refuse(HTTPStatus.UNAUTHORIZED, "nobody holds this token", _SEND)
        if method not in _READING and holder.role is not Role.OPERATE:
            what = f"the token of {holder.name} may view, not operate"
            return _refuse(HTTPStatus.FORBIDDEN, what, "an order needs a token with the role operate")
        return holder


def _refuse(status: HTTPStatus, detail: str, advice: str) -> Json:
    headers = {"www-authenticate": 'Bearer realm="model-reconciler"'} if status is HTTPStatus.UNAUTHORIZED else None
    body = problem(status, detail, advice).model_dump()
    return Json(body, status_code=status.value, media_type=MEDIA_TYPE, headers=headers)


class Pace:
    """How many orders somebody may give: some at once, then one each few seconds."""

    AT_ONCE = 20
    SECONDS_EACH = 3.0

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._full_at: dict[str, float] = {}

    def wait(self, name: str) -> float:
        """Take one; return 0, or after how many seconds there is one again. Names are those of the token file."""
        now = self._monotonic()
        full_at = max(self._full_at.get(name, now), now) + self.SECONDS_EACH
        late = full_at - now - self.AT_ONCE * self.SECONDS_EACH
        if late <= 0:
            self._full_at[name] = full_at
        return max(late, 0.0)
