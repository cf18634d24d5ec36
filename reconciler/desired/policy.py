"""Which RepositoryPolicy is in force: the one of this commit, or the last one that could be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from reconciler.desired.documents import FreezeWindow, PolicySpec
from reconciler.desired.explain import Origin
from reconciler.desired.judge import Rules, judge_policy
from reconciler.desired.parse import POLICY, ParsedFile
from reconciler.desired.state import Diagnostic

# A policy that nobody can read may forbid everything just now; rolling back stays allowed.
UNKNOWN_POLICY = PolicySpec(
    freezes=(
        FreezeWindow(name="the policy cannot be read", start="* * * * *", duration=timedelta(days=1), models=("*",)),
    )
)
# Each of many policies names others, but not all of them.
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """What holds now: without `rules` no document can be judged, and every model keeps its last good spec."""

    rules: Rules | None
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def in_force(self) -> PolicySpec:
        """Return the policy to act by."""
        return self.rules.spec if self.rules else UNKNOWN_POLICY


class PolicyKeeper:
    """Remembers the last policy that could be read; the same policy stays the same object."""

    def __init__(self) -> None:
        self._rules: Rules | None = None

    def choose(self, files: Sequence[ParsedFile]) -> PolicyChoice:
        """Return the policy of these files; a policy that cannot be read leaves the one before in force."""
        found = [Origin(file, doc) for file in files for doc in file.documents if doc.kind == POLICY]
        if len(found) > 1:
            return PolicyChoice(self._rules, tuple(_second(origin, found) for origin in found))
        if not found:
            # One of the files that cannot be read may hold it.
            if any(file.may_be_policy or (file.unreadable and file.path == self._path) for file in files):
                return PolicyChoice(self._rules)
            return self._take(Rules(PolicySpec()))
        before = self._rules
        if before and before.origin and before.origin.file is found[0].file:
            return PolicyChoice(before)
        spec, diagnostics = judge_policy(found[0])
        return PolicyChoice(self._rules, diagnostics) if spec is None else self._take(Rules(spec, found[0]))

    @property
    def _path(self) -> str | None:
        origin = self._rules.origin if self._rules else None
        return origin.file.path if origin else None

    def _take(self, rules: Rules) -> PolicyChoice:
        before = self._rules
        if before is None or before.spec != rules.spec or before.origin != rules.origin:
            self._rules = rules
        return PolicyChoice(self._rules)


def _second(origin: Origin, found: Sequence[Origin]) -> Diagnostic:
    rivals = [o for o in found[: _MOST_NAMED + 1] if o is not origin][:_MOST_NAMED]
    others = ", ".join(f"{o.file.path}:{o.document.line} ({o.document.name})" for o in rivals)
    return origin.report(
        "second-policy",
        f"a repository has one RepositoryPolicy; {origin.document.name} is one of {len(found)}: see {others}",
        ("metadata", "name"),
        advice="merge them into one document",
    )
