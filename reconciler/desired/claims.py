"""Which document speaks for which model: each name and each registered model has one owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.desired.judge import Judged
from reconciler.desired.state import Diagnostic, Severity

_MOST_NAMED = 5


@dataclass(slots=True)
class Claims:
    """The verdict of each name, and for names that are refused, why."""

    chosen: dict[str, Judged] = field(default_factory=dict)
    refused: dict[str, tuple[Diagnostic, ...]] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def errors(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the errors among diagnostics."""
    return tuple(diagnostic for diagnostic in diagnostics if diagnostic.severity is Severity.ERROR)


def settle_claims(verdicts: Sequence[Judged]) -> Claims:
    """Give each name its document; two for one name, or for one registered model, are both refused."""
    claims = Claims()
    rivals: dict[str, list[Judged]] = {}
    for verdict in verdicts:
        name = verdict.name
        if verdict.diagnostics:
            claims.diagnostics += verdict.diagnostics
        if name is None:
            continue
        if name in claims.chosen:
            rivals.setdefault(name, [claims.chosen[name]]).append(verdict)
            continue
        claims.chosen[name] = verdict
        if verdict.spec is None:
            claims.refused[name] = errors(verdict.diagnostics)
    for name, documents in rivals.items():
        _refuse(claims, {name: [_same_name(name, one, documents) for one in documents]})
    for registered, names in _registered_twice(claims).items():
        documents = [claims.chosen[name] for name in names]
        _refuse(claims, {str(one.name): [_same_registered(registered, one, documents)] for one in documents})
    return claims


def _refuse(claims: Claims, why: Mapping[str, Sequence[Diagnostic]]) -> None:
    for name, problems in why.items():
        claims.refused[name] = tuple(problems)
        claims.diagnostics += problems


def _registered_twice(claims: Claims) -> dict[str, list[str]]:
    owners: dict[str, str] = {}
    twice: dict[str, list[str]] = {}
    for name, verdict in claims.chosen.items():
        if verdict.spec is not None and name not in claims.refused:
            registered = verdict.spec.registered_model or name
            first = owners.setdefault(registered, name)
            if first != name:
                twice.setdefault(registered, [first]).append(name)
    return twice


def _same_name(name: str, one: Judged, documents: Sequence[Judged]) -> Diagnostic:
    return Diagnostic(
        code="duplicate-name",
        message=f'{_number(len(documents))} documents are named "{name}": {_places(documents)}; none of them is used',
        path=one.path,
        line=one.line,
        column=1,
        field="metadata.name",
        help="rename or remove one; the name is also the InferenceService's",
    )


def _same_registered(registered: str, one: Judged, documents: Sequence[Judged]) -> Diagnostic:
    names = _some([f'"{document.name}"' for document in documents])
    return Diagnostic(
        code="duplicate-registered-model",
        message=f'{names} both want the registered model "{registered}": {_places(documents)}; none of them is used',
        path=one.path,
        line=one.line,
        column=1,
        field="spec.registeredModel",
        help="give each its own registeredModel",
    )


def _number(count: int) -> str:
    return "two" if count == 2 else str(count)


def _places(documents: Sequence[Judged]) -> str:
    return _some([f"{document.path}:{document.line}" for document in documents[: _MOST_NAMED + 1]], len(documents))


def _some(texts: Sequence[str], count: int | None = None) -> str:
    """Join texts, but no more than help to find the rest: each of thousands of rivals names the others."""
    more = (len(texts) if count is None else count) - _MOST_NAMED
    return " and ".join(texts if more <= 0 else [*texts[:_MOST_NAMED], f"{more} more"])
