"""Orders by hand from the command line, against a served API over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.errors import Refused
from reconciler.redaction import Redactor
from reconciler.settings import HttpSettings
from reconciler.status import Orderable
from reconciler.web.app import View, create_app
from reconciler.web.orders import Desk
from reconciler.web.server import Server, allowed_hosts, listen, url_of
from reconciler.web.tokens import TokenFile
from tests.cli.conftest import Run
from tests.scheduler.scripted import Scripted, status

TOKEN = "operate-token-of-ana"


@dataclass
class Served:
    """A served API, and what was asked of the reconciler behind it."""

    url: str
    script: Scripted

    def shows(self, *found: Orderable) -> None:
        self.script.shown["iris"] = status("iris", orderable=found)


@contextmanager
def serving(tokens: TokenFile | None) -> Iterator[Served]:
    script = Scripted(models={"iris"}, shown={"iris": status("iris")})
    view = View(script.names, script.statuses, script.status_of_systems, tuple, tuple, bytes)
    listener = listen(HttpSettings(port=0))
    app = create_app(view, Redactor(), allowed_hosts("127.0.0.1"), Desk(tokens, script.order, lambda: 0.0))
    server = Server(app, listener)
    server.start()
    try:
        yield Served(url_of(listener), script)
    finally:
        server.stop()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    file = tmp_path / "tokens"
    file.write_text(f"ana operate {TOKEN}\n")
    file.chmod(0o600)
    with serving(TokenFile(file)) as made:
        yield made


@pytest.mark.parametrize("order", ["abort", "promote", "pause", "resume", "retry", "approve"])
def test_an_order_says_that_it_stands_and_what_happens_next(
    run: Run, served: Served, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_TOKEN", TOKEN)
    served.shows(Orderable(order, 2, 1, "version 2"))
    result = run(order, "iris", "--reason", "it looks odd", "--url", served.url)
    assert result.exit_code == 0, result.stderr
    assert f"{order} of iris, version 2, stands on the ledger: ana: it looks odd" in result.stdout
    assert "Next: all is well" in result.stdout
    assert served.script.orders == [f"{order} iris for 2/1 by ana: it looks odd"]
    assert TOKEN not in result.output


NAMED: dict[str, tuple[tuple[str, ...], str]] = {
    "what the status shows of this very order": ((), "for 2/1"),
    "the version that is named, and no step of it": (("--version", "3"), "for 3/0"),
    "the version and the step that are named": (("--version", "3", "--step", "2"), "for 3/2"),
}


@pytest.mark.parametrize("sentence", NAMED)
def test_an_order_is_for(run: Run, served: Served, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_TOKEN", TOKEN)
    options, said = NAMED[sentence]
    served.shows(Orderable("pause", 9, 0, "version 9"), Orderable("approve", 2, 1, "step 1 of version 2"))
    result = run("approve", "iris", "--reason", "x", *options, "--url", served.url)
    assert result.exit_code == 0, result.stderr
    assert served.script.orders == [f"approve iris {said} by ana: x"]


def test_where_nothing_to_order_so_is_shown_what_comes_up_meanwhile_is_not_meant(
    run: Run, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_TOKEN", TOKEN)
    served.shows(Orderable("pause", 9, 0, "version 9"))
    assert run("abort", "iris", "--reason", "x", "--url", served.url).exit_code == 0
    assert served.script.orders == ["abort iris for 0/0 by ana: x"]


def test_a_version_that_is_named_needs_no_status(run: Run, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_TOKEN", TOKEN)
    served.script.shown.clear()
    assert "has not been looked at yet" in run("abort", "iris", "-r", "x", "--url", served.url).stderr
    assert run("abort", "iris", "-r", "x", "--version", "2", "--url", served.url).exit_code == 0


@pytest.mark.parametrize("options", [("--step", "1"), ("--version", "0"), ("--version", "two")])
def test_what_names_no_version_is_not_sent(run: Run, served: Served, options: tuple[str, ...]) -> None:
    result = run("approve", "iris", "--reason", "x", *options, "--url", served.url)
    assert result.exit_code == 1
    assert "--version" in result.stderr
    assert served.script.orders == []


def test_a_program_gets_the_answer_as_json(run: Run, served: Served, tmp_path: Path) -> None:
    (tmp_path / "own").write_text(TOKEN + "\n")
    result = run("pause", "iris", "-r", "why not", "--url", served.url, "--token-file", tmp_path / "own", "-o", "json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert (answer["model"], answer["order"]["actor"], answer["repeated"]) == ("iris", "ana", False)


def test_status_and_explain_show_the_token_too(run: Run, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("status", "--url", served.url).exit_code == 1
    monkeypatch.setenv("RECONCILER_TOKEN", TOKEN)
    assert run("status", "--url", served.url).exit_code == 0
    assert run("explain", "iris", "--url", served.url).exit_code == 0


def test_without_a_token_the_error_says_how_to_send_one(run: Run, served: Served) -> None:
    result = run("abort", "iris", "--reason", "x", "--url", served.url)
    assert result.exit_code == 1
    assert "this needs a token" in result.stderr
    assert "RECONCILER_TOKEN or --token-file" in result.stderr


def test_where_the_service_has_no_token_file_the_error_says_how_to_set_one_up(run: Run) -> None:
    with serving(None) as served:
        result = run("abort", "iris", "--reason", "x", "--url", served.url)
    assert result.exit_code == 1
    assert "api.tokens" in result.stderr


def test_what_cannot_be_ordered_ends_with_1_and_says_why(
    run: Run, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_TOKEN", TOKEN)
    served.script.refusal = Refused("no rollout of iris is under way", help="look")
    result = run("abort", "iris", "--reason", "x", "--url", served.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no rollout of iris is under way" in result.stderr


def test_an_order_without_a_reason_is_not_sent(run: Run, served: Served) -> None:
    assert run("abort", "iris", "--url", served.url).exit_code == 1
    assert served.script.orders == []


@pytest.mark.parametrize("token", ["two words", "tökén", "a\nb"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(run: Run, token: str, tmp_path: Path) -> None:
    (tmp_path / "own").write_text(token)
    result = run("abort", "iris", "-r", "x", "--url", "http://127.0.0.1:9", "--token-file", tmp_path / "own")
    assert result.exit_code == 1
    assert "no HTTP header can carry" in result.stderr
    assert token not in result.output
