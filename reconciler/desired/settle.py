"""Who is in force: verdicts and last good specs become the models of a commit.

A model is never taken for removed while anything cannot be read, nor while another document claims what removing it
would archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.desired.claims import Claims, settle_claims
from reconciler.desired.documents import OnRemoval
from reconciler.desired.judge import Judged
from reconciler.desired.state import Commit, DesiredModel, Diagnostic, Severity


@dataclass(frozen=True, slots=True)
class Settlement:
    """The models of one commit; `good` holds each one's last good spec, and the verdict that it came from."""

    models: Mapping[str, DesiredModel] = field(default_factory=dict)
    good: Mapping[str, tuple[Judged | None, DesiredModel]] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What was in force: in this process, and on record from before it."""

    settlement: Settlement
    last_good: Mapping[str, DesiredModel]

    def good(self, name: str) -> DesiredModel | None:
        """Return the last good spec of a model."""
        known = self.settlement.good.get(name)
        if known is not None:
            return known[1]
        model = self.last_good.get(name)
        return (
            replace(model, stale=(), refused="", removed=False) if model and (model.stale or model.removed) else model
        )

    def same(self, model: DesiredModel) -> DesiredModel:
        """Return the object of the commit before where it says the same, so that it keeps its commit."""
        old = self.settlement.models.get(model.name) or self.last_good.get(model.name)
        return old if old is not None and replace(model, commit=old.commit, refused=old.refused) == old else model


def settle(
    commit: Commit,
    verdicts: Sequence[Judged],
    broken: Mapping[str, tuple[Diagnostic, ...]],
    past: Past,
) -> Settlement:
    """Return the models in force at a commit; `broken` is what is wrong with files whose documents cannot be told."""
    claims = settle_claims(verdicts)
    settling = _Settling(commit, past, claims.diagnostics)
    settling.take(claims)
    for name, problems in claims.refused.items():
        settling.fall_back(name, problems)
    for name in past.last_good:
        if name not in claims.chosen:
            settling.miss(name, broken)
    settling.check_heirs()
    return Settlement(dict(sorted(settling.models.items())), settling.good, tuple(settling.diagnostics))


@dataclass(slots=True)
class _Settling:
    commit: Commit
    past: Past
    diagnostics: list[Diagnostic]
    models: dict[str, DesiredModel] = field(default_factory=dict)
    good: dict[str, tuple[Judged | None, DesiredModel]] = field(default_factory=dict)

    def take(self, claims: Claims) -> None:
        known = self.past.settlement.good
        for name, verdict in claims.chosen.items():
            if verdict.spec is None or name in claims.refused:
                continue
            entry = known.get(name)
            if entry is None or entry[0] is not verdict:
                entry = (verdict, self._model(name, verdict))
            self.good[name] = entry
            self.models[name] = entry[1]

    def _model(self, name: str, verdict: Judged) -> DesiredModel:
        assert verdict.spec is not None  # noqa: S101  for the type checker: only valid verdicts get here
        model = DesiredModel(
            name=name,
            spec=verdict.spec,
            commit=self.commit,
            path=verdict.path,
            line=verdict.line,
            labels=verdict.labels,
            files=verdict.files,
        )
        old = self.past.good(name)
        if old is None:
            return model
        same = replace(model, commit=old.commit)
        if same != old:
            return model
        # One that was stored is equal, but shares no section and no file with any other model.
        return old if name in self.past.settlement.good else same

    def fall_back(self, name: str, problems: tuple[Diagnostic, ...]) -> None:
        """Keep the last good spec, if there is one, with what is wrong with the current one."""
        last = self.past.good(name)
        if last is not None:
            self.good[name] = (None, last)
            self.models[name] = self._stale(last, problems)

    def _stale(self, last: DesiredModel, problems: tuple[Diagnostic, ...]) -> DesiredModel:
        return self.past.same(replace(last, stale=problems, refused=self.commit.id))

    def miss(self, name: str, broken: Mapping[str, tuple[Diagnostic, ...]]) -> None:
        """Decide on a model that has no document in this commit."""
        last = self.past.good(name)
        if last is None:
            return
        self.good[name] = (None, last)
        if last.path in broken:
            self.models[name] = self._stale(last, broken[last.path])
        elif broken:
            where = ", ".join(sorted(broken)[:3])
            self._hold(last, f"while {where} cannot be read", "correct what cannot be read")
        else:
            self.models[name] = self.past.same(replace(last, removed=True, commit=self.commit))

    def _hold(self, last: DesiredModel, why: str, advice: str) -> None:
        held = Diagnostic(
            code="removal-held",
            message=f'"{last.name}" has no document in this commit, but is not taken for removed {why}',
            path=last.path,
            help=f"{advice}; until then the last good spec stays in force",
            severity=Severity.WARNING,
        )
        self.diagnostics.append(held)
        self.models[last.name] = self._stale(last, (held,))

    def check_heirs(self) -> None:
        """Refuse documents that claim the registered model of a spec that is still in force, or being removed."""
        incumbents = {m.registered_model: m for m in self.models.values() if m.stale or _would_archive(m)}
        if not incumbents:
            return
        for name, model in list(self.models.items()):
            incumbent = incumbents.get(model.registered_model)
            if incumbent is not None and incumbent.name != name and not model.removed and not model.stale:
                self._refuse_heir(model, incumbent)

    def _refuse_heir(self, heir: DesiredModel, incumbent: DesiredModel) -> None:
        why = "its document left Git" if incumbent.removed else "its last good spec is in force"
        problem = Diagnostic(
            code="duplicate-registered-model",
            message=f'the registered model "{heir.registered_model}" still belongs to "{incumbent.name}" '
            f"({incumbent.path}:{incumbent.line}): {why}",
            path=heir.path,
            line=heir.line,
            column=1,
            field="spec.registeredModel",
            help=f'to rename a model, first commit "{incumbent.name}" with retention: {{onRemoval: retain}}',
        )
        self.diagnostics.append(problem)
        self.models.pop(heir.name)
        self.good.pop(heir.name)
        last = self.past.good(heir.name)
        if last is not None and last.registered_model != heir.registered_model:
            self.fall_back(heir.name, (problem,))
        if incumbent.removed:
            # Removing it now would archive the versions that the new document is about.
            last = self.good[incumbent.name][1]
            self._hold(last, f'while "{heir.name}" claims its registered model', "rename it in two commits")


def _would_archive(model: DesiredModel) -> bool:
    return model.removed and model.spec.retention.on_removal is not OnRemoval.RETAIN


def ordered(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return diagnostics by path and place, each once."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: (d.path, d.line, d.column, d.code, d.message)))
