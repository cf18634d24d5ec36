"""Whether callers of one version can be served by another."""

from __future__ import annotations

from reconciler.observed import Column, Signature


def incompatibility(candidate: Signature | None, production: Signature | None) -> str | None:
    """Say what would break production's callers, None when nothing would."""
    if production is None:
        return "the production version has no signature to compare with"
    if candidate is None:
        return "the candidate has no signature"
    return _inputs(candidate.inputs, production.inputs) or _outputs(candidate.outputs, production.outputs)


def _inputs(candidate: tuple[Column, ...], production: tuple[Column, ...]) -> str | None:
    sent = {c.name: c for c in production}
    for column in candidate:
        there = sent.get(column.name)
        if there is None and column.required:
            return f"input {_name(column)} is required, but callers of production do not send it"
        if there is not None and there.type != column.type:
            return f"input {_name(column)} is {column.type}, callers of production send {there.type}"
    taken = {c.name for c in candidate}
    missing = next((c for c in production if c.name not in taken), None)
    return f"input {_name(missing)} is sent by callers, but not accepted" if missing else None


def _outputs(candidate: tuple[Column, ...], production: tuple[Column, ...]) -> str | None:
    given = {c.name: c for c in candidate}
    for column in production:
        there = given.get(column.name)
        if there is None:
            return f"output {_name(column)} is expected by callers, but not answered"
        if there.type != column.type:
            return f"output {_name(column)} is {there.type}, callers of production expect {column.type}"
    return None


def _name(column: Column) -> str:
    return column.name or "(unnamed)"
