"""Orders by hand over a real socket: who may give them, and what becomes of them."""

from __future__ import annotations

import hashlib
import io
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from reconciler.errors import Refused, SettingsError, Transient, UnknownOutcome
from reconciler.logs import set_up_logs
from reconciler.redaction import Redactor
from reconciler.settings import HttpSettings, LogSettings, remember_secrets, secrets_read
from reconciler.web.access import Pace
from reconciler.web.app import OPENAPI, View, create_app
from reconciler.web.orders import LONGEST_REASON, MOST_AT_ONCE, Desk
from reconciler.web.server import REQUEST_SECONDS, Server, allowed_hosts, listen, url_of
from reconciler.web.tokens import TokenFile
from tests.scheduler.scripted import Scripted, status

OPERATE, VIEW = "operate-token-of-ana", "view-token-of-a-board"
LINES = f"# who may what\n\nana operate sha256:{hashlib.sha256(OPERATE.encode()).hexdigest()}\nboard view {VIEW}\n"
REASON = {"reason": "it looks odd"}


class _Api:
    def __init__(self, tokens: Path) -> None:
        self.file = tokens
        self.script = Scripted(models={"iris"}, shown={"iris": status("iris")})
        self.now = 0.0
        self.client = httpx.Client()

    def say(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o600)

    def order(self, kind: str = "abort", token: str = OPERATE, json: Any = None, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        path = f"/api/v1/models/{options.pop('name', 'iris')}/{kind}"
        return self.client.post(path, json=REASON if json is None else json, headers=headers, **options)


@contextmanager
def _serving(api: _Api, tokens: TokenFile | None, patience: int = REQUEST_SECONDS) -> Iterator[_Api]:
    view = View(api.script.names, api.script.statuses, api.script.status_of_systems, tuple, tuple, bytes)
    desk = Desk(tokens, api.script.order, lambda: api.now)
    listener = listen(HttpSettings(port=0))
    server = Server(create_app(view, Redactor(), allowed_hosts("127.0.0.1"), desk), listener, patience)
    server.start()
    try:
        with httpx.Client(base_url=url_of(listener), timeout=20) as client:
            api.client = client
            yield api
    finally:
        server.stop()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[_Api]:
    made = _Api(tmp_path / "tokens")
    made.say(LINES)
    with _serving(made, TokenFile(made.file)) as served:
        yield served


@pytest.mark.parametrize("kind", ["abort", "promote", "pause", "resume", "retry", "approve"])
def test_an_order_is_given_in_the_name_of_the_tokens_holder(api: _Api, kind: str) -> None:
    answer = api.order(kind)
    assert answer.status_code == 200
    assert answer.json()["order"]["actor"] == "ana"
    assert answer.json()["follows"] == "all is well"
    assert api.script.orders == [f"{kind} iris by ana: it looks odd"]


def test_without_a_token_file_all_may_read_and_orders_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with _serving(_Api(tmp_path / "none"), None) as api:
        assert api.client.get("/api/v1/models").status_code == 200
        answer = api.order()
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert "api.tokens" in answer.json()["help"]
        assert api.script.orders == []


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", 401),
        ("Bearer", 401),
        ("Bearer wrong-token-of-nobody", 401),
        (f"Basic {OPERATE}", 401),
        (f"Bearer {OPERATE} more", 401),
        ("Bearer " + "x" * 10_000, 401),
        (f"Bearer {VIEW}", 403),
        (f"bearer {OPERATE}", 200),
    ],
)
def test_only_a_token_with_the_role_operate_gives_orders(api: _Api, header: str, code: int) -> None:
    answer = api.client.post(
        "/api/v1/models/iris/abort", json=REASON, headers={"authorization": header} if header else {}
    )
    assert answer.status_code == code
    assert ("www-authenticate" in answer.headers) == (code == 401)
    assert OPERATE not in answer.text
    assert len(api.script.orders) == (code == 200)


def test_reading_needs_a_token_where_there_are_tokens_and_probes_do_not(api: _Api) -> None:
    assert api.client.get("/api/v1/models").status_code == 401
    assert api.client.get(OPENAPI).status_code == 401
    for token in (VIEW, OPERATE):
        assert api.client.get("/api/v1/models", headers={"authorization": f"Bearer {token}"}).status_code == 200
    for open_to_all in ("/healthz", "/readyz", "/metrics"):
        assert api.client.get(open_to_all).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": "   "},
        {"reason": "two\nlines"},
        {"reason": "\x1b[2J"},
        {"reason": "\u202egnp"},
        {"reason": "x" * (LONGEST_REASON + 1)},
        {"reason": 7},
        {"reason": "good", "actor": "somebody else"},
        {"reason": "good", "version": -1},
        {"reason": "good", "version": "2"},
        {"reason": "good", "version": True},
        {"reason": "good", "version": 10**400},
        {"reason": "good", "step": 1},
        {"reason": "good", "version": 0, "step": 1},
        {"reason": "good", "version": 2, "step": -1},
        [],
    ],
)
def test_a_reason_is_one_short_line_and_nothing_else_can_be_said(api: _Api, body: Any) -> None:
    assert api.order(json=body).status_code == 400
    assert api.script.orders == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"reason": "two\nlines"}, "body reason: it must be one line without control characters"),
        ({"reason": "good", "step": 1}, "body: a step needs the version of its rollout"),
    ],
)
def test_what_is_wrong_with_the_words_is_said_plainly(api: _Api, body: Any, said: str) -> None:
    assert api.order(json=body).json()["detail"] == said


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({}, ""),
        ({"version": None}, ""),
        ({"version": 2}, " for 2/0"),
        ({"version": 2, "step": 1}, " for 2/1"),
        ({"version": 0, "step": 0}, " for 0/0"),
    ],
)
def test_an_order_may_say_which_version_and_step_it_is_for(api: _Api, said: dict[str, Any], meant: str) -> None:
    assert api.order("approve", json={**REASON, **said}).status_code == 200
    assert api.script.orders == [f"approve iris{meant} by ana: it looks odd"]


def test_an_order_whose_words_never_come_is_not_waited_for(tmp_path: Path) -> None:
    api = _Api(tmp_path / "tokens")
    api.say(LINES)
    with _serving(api, TokenFile(api.file), patience=1):
        address = (api.client.base_url.host, api.client.base_url.port or 0)
        with socket.create_connection(address, timeout=20) as raw:
            head = f"POST /api/v1/models/iris/abort HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {OPERATE}"
            raw.sendall(f"{head}\r\nContent-Length: 20\r\n\r\n{{".encode())
            assert raw.recv(64) == b""
    assert api.script.orders == []


def test_a_form_of_another_site_is_no_order(api: _Api) -> None:
    form = {"content-type": "text/plain", "origin": "https://evil.example"}
    assert api.client.post("/api/v1/models/iris/abort", content='{"reason": "x"}', headers=form).status_code == 401


@pytest.mark.parametrize(
    ("refusal", "code", "retries"),
    [
        (Refused("no rollout of iris is under way", help="look"), 409, False),
        (Transient("the ledger is full"), 503, True),
        (UnknownOutcome("the answer was lost"), 503, True),
    ],
)
def test_what_cannot_be_ordered_says_why(api: _Api, refusal: Any, code: int, *, retries: bool) -> None:
    api.script.refusal = refusal
    answer = api.order()
    assert (answer.status_code, answer.json()["detail"]) == (code, refusal.message)
    assert ("retry-after" in answer.headers) is retries
    assert answer.json()["help"]


def test_a_model_or_order_that_is_not_there_is_told(api: _Api) -> None:
    answer = api.order(name="irsi")
    assert (answer.status_code, answer.json()["help"]) == (404, "did you mean iris?")
    assert api.order("explode").status_code == 400


def test_who_orders_without_end_has_to_wait_and_others_do_not(api: _Api) -> None:
    api.say(LINES + "raj operate another-token-of-raj\n")
    for _ in range(Pace.AT_ONCE):
        assert api.order().status_code == 200
    answer = api.order()
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) == Pace.SECONDS_EACH
    assert api.order(token="another-token-of-raj").status_code == 200
    api.now += Pace.SECONDS_EACH
    assert api.order().status_code == 200


def test_orders_that_hang_leave_room_for_who_reads(api: _Api) -> None:
    api.script.held = Event()
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        hanging = [pool.submit(api.order) for _ in range(MOST_AT_ONCE)]
        api.script.wait_for(lambda: len(api.script.orders) == MOST_AT_ONCE, "the orders are under way")
        refused = api.order()
        read = api.client.get("/api/v1/models", headers={"authorization": f"Bearer {VIEW}"})
        api.script.held.set()
        assert [each.result(20).status_code for each in hanging] == [200] * MOST_AT_ONCE
    assert (refused.status_code, refused.json()["detail"]) == (503, "10 orders are under way already")
    assert read.status_code == 200
    assert api.order().status_code == 200


def test_the_token_file_is_read_again_when_it_changes_and_a_broken_one_lets_nobody_in(api: _Api) -> None:
    assert api.order().status_code == 200
    api.say("raj operate another-token-of-raj\n")
    assert api.order().status_code == 401
    assert api.order(token="another-token-of-raj").status_code == 200
    api.say("raj operate\n")
    assert api.order(token="another-token-of-raj").status_code == 503
    api.file.unlink()
    assert api.order().status_code == 503
    api.say(LINES)
    assert api.order().status_code == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ana operate", "line 1 .* has 2 words instead of 3"),
        ("\nana root some-long-token-here", "line 2 .* neither view nor operate"),
        ("an/a view some-long-token-here", "the name may have"),
        ("ana view short", "too short"),
        ("ana view sha256:abc", "too short, or no sha256"),
        ("ana view some-long-token-here\nraj operate some-long-token-here", "line 2 .* token of an earlier line"),
        ("ana view some-long-tökén-here", "ASCII"),
        ("#" * 70_000, "more than"),
    ],
)
def test_a_token_file_that_cannot_be_used_says_where_and_never_what(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said) as raised:
        TokenFile(file)
    assert "some-long" not in raised.value.message


def test_a_token_that_stands_in_the_file_itself_is_hidden_wherever_something_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("ana view a-token-nobody-may-see\n")
    TokenFile(file)
    assert "a-token-nobody-may-see" in secrets_read()


def test_many_tokens_push_no_secret_out_of_what_is_hidden(tmp_path: Path) -> None:
    remember_secrets("another place", ["secret-of-another-place"])
    tokens = [f"token-number-{number:04d}" for number in range(100)]
    file = tmp_path / "tokens"
    file.write_text("".join(f"ana operate {token}\n" for token in tokens))
    TokenFile(file)
    assert {"secret-of-another-place", *tokens} <= set(secrets_read())


def test_a_token_that_was_replaced_stays_hidden(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("ana operate the-token-before-it\n")
    tokens = TokenFile(file)
    file.write_text("ana operate the-token-after-it\nraj operate\n")
    with pytest.raises(SettingsError):
        tokens.holder("the-token-after-it")
    assert {"the-token-before-it", "the-token-after-it"} <= set(secrets_read())


def test_a_token_file_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(LINES)
    os.chmod(file, 0o644)  # noqa: PTH101  what is warned about
    logs = io.StringIO()
    set_up_logs(LogSettings(format="json"), Redactor(), logs)
    TokenFile(file)
    assert "can be read by others" in logs.getvalue()


def test_orders_are_described_with_their_problems_and_their_token(api: _Api) -> None:
    described = api.client.get(OPENAPI, headers={"authorization": f"Bearer {VIEW}"}).json()
    post = described["paths"]["/api/v1/models/{name}/{order}"]["post"]
    assert {"200", "400", "401", "403", "404", "409", "429", "503"} <= post["responses"].keys()
    assert post["security"] == [{"bearer": []}]
    words = described["components"]["schemas"]["Words"]["properties"]
    assert "another version by now" in words["version"]["description"]
    assert "another step" in words["step"]["description"]
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
