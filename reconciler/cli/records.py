"""The ledger and the memory for commands that only look: whatever would write is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NoReturn

from reconciler.audit.ledger import LedgerReader
from reconciler.desired.state import DesiredModel
from reconciler.errors import Refused
from reconciler.observed import Release, ReleaseRecord
from reconciler.ports import Entry, Memory, Recorded


def _refuse() -> NoReturn:
    raise Refused("a plan writes nothing", help="this is a mistake in the reconciler: please report it")


class ReadOnlyLedger:
    """Reads a ledger, or none where there is none yet."""

    def __init__(self, reader: LedgerReader | None) -> None:
        self._reader = reader

    def append(self, entry: Entry) -> Recorded:
        """Refuse."""
        del entry
        _refuse()

    def entries(
        self,
        *,
        model: str | None = None,
        actions: Iterable[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after_seq: int = 0,
        limit: int | None = None,
    ) -> Sequence[Recorded]:
        """Return entries in order of their sequence number; with `limit`, the newest so many."""
        if self._reader is None:
            return ()
        return self._reader.entries(
            model=model, actions=actions, since=since, until=until, after_seq=after_seq, limit=limit
        )


class ReadOnlyMemory:
    """Reads a memory, or none where there is none yet."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory

    def last_good(self) -> Mapping[str, DesiredModel]:
        """Return the last good spec of every model that was ever taken over and not let go."""
        return self._memory.last_good() if self._memory else {}

    def releases(self, model: str) -> Mapping[Release, ReleaseRecord]:
        """Return what was applied for each release of a model."""
        return self._memory.releases(model) if self._memory else {}

    def remember(self, models: Iterable[DesiredModel]) -> None:
        """Refuse."""
        del models
        _refuse()

    def forget(self, model: str, keep: Collection[Release] = ()) -> None:
        """Refuse."""
        del model, keep
        _refuse()

    def keep_release(self, model: str, record: ReleaseRecord) -> None:
        """Refuse."""
        del model, record
        _refuse()

    def claim(self, key: str, at: datetime) -> bool:
        """Refuse."""
        del key, at
        _refuse()

    def acted_on(self, line: str) -> str | None:
        """Return the last commit of this line of Git that may have been acted on, None before the first."""
        return self._memory.acted_on(line) if self._memory else None

    def act_on(self, line: str, commit: str) -> None:
        """Refuse."""
        del line, commit
        _refuse()
