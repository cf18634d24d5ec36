"""`reconciler history`: what was tried for a model, how it ended, and what was serving at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.audit import open_ledger
from reconciler.cli.present import (
    Cell,
    Column,
    ConfigOption,
    Format,
    FormatOption,
    Screen,
    Tone,
    command,
    rfc3339,
    status,
)
from reconciler.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.audit.history import Attempt, ServingAt, Trial
    from reconciler.audit.ledger import LedgerReader


def history(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    *,
    config: ConfigOption = None,
    at: Annotated[str | None, typer.Option(help="What was serving then: 2026-06-01T00:00Z, or 7d ago as 7d.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest so many.")] = 30,
    routine: Annotated[bool, typer.Option("--routine", help="Also measurements and waiting.")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show what was done for a model, the newest last, or what was serving at a time.

    Examples: reconciler history iris; reconciler history iris --at 2026-06-01T00:00Z
    """
    from reconciler.audit.selection import parse_when  # noqa: PLC0415  pydantic: not for --help

    with command() as screen:
        moment = None if at is None else parse_when(at, screen.now)
        if moment is not None and moment > screen.now:
            what = f"{rfc3339(moment)} is yet to come: the ledger tells what was serving, not what will be"
            raise Refused(what, help="`reconciler plan --until-converged` shows what is to come")
        with open_ledger(config) as ledger:
            if moment is not None:
                _serving(screen, ledger, model, moment, output)
                return
            tried = _attempts(ledger, model)
        shown = [attempt for attempt in tried if routine or attempt.action not in _routine()][-limit:]
        if output is Format.JSON:
            screen.json([_to_json(attempt) for attempt in shown])
        else:
            _table(screen, model, shown, len(tried) - len(shown))


def _routine() -> frozenset[str]:
    from reconciler.audit.history import ROUTINE  # noqa: PLC0415  pydantic: not for --help

    return ROUTINE


def _attempts(ledger: LedgerReader, model: str) -> list[Attempt]:
    from reconciler.audit.history import attempts  # noqa: PLC0415  pydantic: not for --help
    from reconciler.audit.selection import Selection  # noqa: PLC0415  pydantic: not for --help

    return attempts(ledger.stream(Selection(model=model)))


def _table(screen: Screen, model: str, shown: list[Attempt], hidden: int) -> None:
    if not shown:
        screen.note(f"Nothing is on record for {model}.")
        return
    columns = [Column("SEQ", right=True), Column("WHEN"), Column("ACTION"), Column("VERSION"), Column("BY")]
    columns += [Column("COMMIT"), Column("RESULT"), Column("REASON", wraps=True)]
    screen.table(columns, [_row(screen, attempt) for attempt in shown])
    if hidden:
        screen.note(f"{hidden} more: earlier ones with --limit, measurements and waiting with --routine.")


def _row(screen: Screen, attempt: Attempt) -> list[str | Cell]:
    by = attempt.author.split(" <")[0]
    result = status(attempt.result.value)
    change = [attempt.action, attempt.versions, by, attempt.commit[:7]]
    return [str(attempt.seq), screen.date(attempt.at), *change, result, attempt.reason]


def _to_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "seq": attempt.seq,
        "at": rfc3339(attempt.at),
        "endedAt": None if attempt.ended_at is None else rfc3339(attempt.ended_at),
        "durationMs": attempt.duration_ms,
        "model": attempt.model,
        "action": attempt.action,
        "versions": attempt.versions,
        "reason": attempt.reason,
        "commit": attempt.commit,
        "author": attempt.author,
        "result": attempt.result,
        "before": attempt.before,
        "after": attempt.after,
    }


def _serving(screen: Screen, ledger: LedgerReader, model: str, at: datetime, output: Format) -> None:
    from reconciler.audit.history import SERVING, attempts, serving_at  # noqa: PLC0415  pydantic: not for --help
    from reconciler.audit.selection import Selection  # noqa: PLC0415  pydantic: not for --help

    tried = attempts(ledger.stream(Selection(model=model, actions=SERVING)))
    serving = serving_at(tried, at)
    if output is Format.JSON:
        screen.json(_serving_to_json(model, at, serving))
        return
    screen.say(Cell(f"{model} at {rfc3339(at)}: ", Tone.STRONG), _sentence(serving))
    of = _on_trial(serving)
    if serving.since is not None:
        named = f"version {serving.version} " if of and serving.version is not None else ""
        screen.say(f"{named}since {rfc3339(serving.since)}, {_by(serving)}")
    if of is not None:
        screen.say(f"version {of.version} since {rfc3339(of.since)}, {_by(of)}")


def _by(said: ServingAt | Trial) -> str:
    return f"commit {said.commit[:7]} by {said.author.split(' <')[0]}, entry {said.seq}"


def _on_trial(serving: ServingAt) -> Trial | None:
    """Return the candidate, where it is another version than the one that serves."""
    return serving.trial if serving.trial and serving.trial.version != serving.version else None


def _sentence(serving: ServingAt) -> str:
    if serving.version is None and serving.since is None:
        return "nothing was served yet, as far as the ledger knows"
    if serving.version is None:
        return "nothing was served: it had been taken down"
    if (tried := _on_trial(serving)) is None:
        return f"version {serving.version}, all traffic"
    share = tried.percent or 0
    return f"version {serving.version}, {100 - share} %, and version {tried.version} on trial, {share} %"


def _serving_to_json(model: str, at: datetime, serving: ServingAt) -> dict[str, Any]:
    tried = serving.trial
    return {
        "model": model,
        "at": rfc3339(at),
        "version": serving.version,
        "since": None if serving.since is None else rfc3339(serving.since),
        "seq": serving.seq,
        "commit": serving.commit,
        "author": serving.author,
        "candidate": tried.version if tried else None,
        "percent": tried.percent if tried else None,
        "candidateSince": rfc3339(tried.since) if tried else None,
        "candidateSeq": tried.seq if tried else None,
        "candidateCommit": tried.commit if tried else "",
        "candidateAuthor": tried.author if tried else "",
    }
