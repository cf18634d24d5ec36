"""The hash chain: sealing entries, and finding what was done to them afterwards. Pure.

A sealed entry is the canonical JSON of `{"entry": ..., "previous": <hash of the entry before>, "seq": ...}`; its hash
is the SHA-256 of that text, so that `sha256sum` is enough to check one. A head (seq, hash, number of entries), written
with every entry, shows a cut-off end. Whoever can rewrite the head as well can still cut the end off unseen: only an
anchor, a head kept outside the database, covers that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reconciler.audit.record import canonical

GENESIS = "0" * 64
"""What the first entry names as its previous."""

PROBLEMS_KEPT = 1_000
"""A verification keeps so many problems and counts the rest, so that its memory stays constant."""


@dataclass(frozen=True, slots=True)
class Link:
    """A sealed entry as it is stored; `indexed` are the copies of its fields that filters look at."""

    seq: int
    hash: str
    body: str
    indexed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry, and how many there are."""

    seq: int
    hash: str
    entries: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """The hash that an entry had when somebody noted it outside the database."""

    seq: int
    hash: str


START = Anchor(0, GENESIS)
"""Verification begins with the very first entry."""


def seal(seq: int, previous: str, entry: Mapping[str, Any]) -> Link:
    """Bind an entry to its place and to everything before it."""
    body = canonical({"entry": entry, "previous": previous, "seq": seq})
    return Link(seq, digest(body), body, indexed_fields(entry))


def digest(body: str) -> str:
    """Return the hash of a sealed entry's text."""
    return hashlib.sha256(body.encode()).hexdigest()


def indexed_fields(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields that are stored a second time, for filters."""
    return {"at": entry["at"], "model": entry["model"], "action": entry["action"]}


class Wrong(StrEnum):
    """What can be wrong with a chain."""

    EDITED = "edited"
    MISSING = "missing"
    INSERTED = "inserted"
    OUT_OF_ORDER = "out of order"
    DOES_NOT_FOLLOW = "does not follow"
    HEAD = "head does not match"
    ANCHOR = "anchor does not match"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the entries from `first` to `last`."""

    wrong: Wrong
    first: int
    last: int
    detail: str

    @property
    def where(self) -> str:
        """Write the range, such as 5 or 5..7."""
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"

    def __str__(self) -> str:
        """Write it as a sentence."""
        return f"{self.where} {self.wrong}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verifier found. `more_problems` were found beyond those listed.

    `covered_to` is the last entry that is proven to be there and unchanged by an anchor, 0 without one.
    """

    first: int
    last: int
    entries: int
    faulty: int
    problems: tuple[Problem, ...]
    more_problems: int
    head: Head | None
    covered_to: int
    not_covered: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems


def verify(
    links: Iterable[Link], head: Head | None, *, after: Anchor = START, anchors: Sequence[Anchor] = ()
) -> Verification:
    """Walk a chain in the order of its numbers, in constant memory, and tell everything that is wrong with it.

    `links` begin right after `after`, whose hash is taken on trust.
    """
    verifier = Verifier(after, anchors)
    for link in links:
        verifier.step(link)
    return verifier.finish(head)


@dataclass(frozen=True, slots=True)
class _Passed:
    """The entry before, as far as the next one needs it."""

    seq: int
    hash: str
    before: str
    sound: bool


class Verifier:
    """Takes a chain link by link and remembers only the last one and what is wrong."""

    def __init__(self, start: Anchor, anchors: Sequence[Anchor]) -> None:
        self.start = start
        self.anchors = {anchor.seq: anchor.hash for anchor in anchors}
        self.problems: list[Problem] = []
        self.more = self.entries = self.faulty = self.anchored = self.first = self.shift = 0
        self.last = _Passed(start.seq, start.hash, "", sound=True)

    def step(self, link: Link) -> None:
        """Look at the next link."""
        self.entries += 1
        self.first = self.first or link.seq
        known = len(self.problems) + self.more
        gap = self._gap(link)
        sealed = _unseal(link)
        if isinstance(sealed, str):
            self._add(Wrong.EDITED, link.seq, sealed)
        elif sealed["seq"] != link.seq:
            self._misplaced(link, sealed)
        elif not gap:
            self._follows(link, sealed["previous"])
        self._anchor(link)
        sound = len(self.problems) + self.more == known
        self.faulty += not sound
        self.last = _Passed(link.seq, link.hash, self.last.hash, sound)

    def _gap(self, link: Link) -> bool:
        expected = self.last.seq + 1
        if link.seq == expected:
            return False
        if link.seq > expected:
            self._add(Wrong.MISSING, expected, f"between {self.last.seq} and {link.seq}", link.seq - 1)
        elif link.seq == self.last.seq:
            self._add(Wrong.INSERTED, link.seq, "there are two entries of this number")
        else:
            self._add(Wrong.OUT_OF_ORDER, link.seq, f"it comes after {self.last.seq}")
        return True

    def _misplaced(self, link: Link, sealed: Mapping[str, Any]) -> None:
        written, previous = sealed["seq"], sealed["previous"]
        if self.last.sound and previous == self.last.before:
            self._add(Wrong.INSERTED, self.last.seq, f"what now stands at {link.seq} followed {self.last.seq - 1}")
        tail = self.problems[-1] if self.problems else None
        if tail and tail.wrong is Wrong.OUT_OF_ORDER and tail.last == link.seq - 1 and self.shift == link.seq - written:
            began = tail.first - self.shift
            self.problems[-1] = Problem(tail.wrong, tail.first, link.seq, f"written as {began}..{written}")
        else:
            self._add(Wrong.OUT_OF_ORDER, link.seq, f"written as {written}")
        self.shift = link.seq - written

    def _follows(self, link: Link, previous: str) -> None:
        # What follows an entry that is known to be wrong cannot be told from it.
        if previous == self.last.hash or not self.last.sound:
            return
        if previous == self.last.before:
            self._add(Wrong.INSERTED, self.last.seq, f"{link.seq} follows {self.last.seq - 1}")
            return
        self._add(
            Wrong.DOES_NOT_FOLLOW,
            link.seq,
            f"it was written after an entry {previous[:12]}, but {self.last.seq} is {self.last.hash[:12]}: "
            f"one of the two was replaced",
        )

    def _anchor(self, link: Link) -> None:
        noted = self.anchors.pop(link.seq, None)
        if noted == link.hash:
            self.anchored = max(self.anchored, link.seq)
        elif noted is not None:
            detail = f"noted as {noted[:12]}, it is {link.hash[:12]}: the chain was written anew"
            self._add(Wrong.ANCHOR, link.seq, detail)

    def _add(self, wrong: Wrong, first: int, detail: str, last: int | None = None) -> None:
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(Problem(wrong, first, first if last is None else last, detail))
        else:
            self.more += 1

    def finish(self, head: Head | None) -> Verification:
        """Compare the end with the head, and tell everything."""
        self._end(head)
        for seq in sorted(self.anchors):
            if seq > self.start.seq:
                self._add(Wrong.ANCHOR, seq, "it was noted, and is not there")
        covered = self.anchored if all(problem.first > self.anchored for problem in self.problems) else 0
        return Verification(
            first=self.first,
            last=self.last.seq,
            entries=self.entries,
            faulty=self.faulty,
            problems=tuple(self.problems),
            more_problems=self.more,
            head=head,
            covered_to=covered,
            not_covered=tuple(self._not_covered(covered)),
        )

    def _end(self, head: Head | None) -> None:
        last = self.last.seq
        match head:
            case None if last > self.start.seq:
                self._add(Wrong.HEAD, last, "the head is gone: a cut-off end would not show")
            case None:
                pass
            case Head(seq=seq) if seq > last:
                self._add(Wrong.MISSING, last + 1, "the end was cut off", seq)
            case Head(seq=seq) if seq < last:
                self._add(Wrong.INSERTED, seq + 1, f"the head names {seq} as the last", last)
            case Head(hash=noted) if noted != self.last.hash:
                self._add(Wrong.HEAD, last, f"it names {noted[:12]}, the last entry is {self.last.hash[:12]}")
            case Head(entries=count) if not self.problems and count != self.start.seq + self.entries:
                self._add(Wrong.HEAD, last, f"it counts {count} entries, there are {self.start.seq + self.entries}")
            case _:
                pass

    def _not_covered(self, covered: int) -> Iterable[str]:
        if self.start.seq:
            yield f"1..{self.start.seq}: not asked for"
        if self.last.seq > max(covered, self.start.seq):
            since = max(covered, self.start.seq) + 1
            what = "a rewritten end" if covered else "a chain that was rewritten from some entry on"
            yield f"{since}..{self.last.seq}: chained, but {what}, with its head, would not show"


def _unseal(link: Link) -> Mapping[str, Any] | str:
    """Return the sealed object, or what is wrong with it."""
    if digest(link.body) != link.hash:
        return "its content does not have its hash"
    try:
        sealed = json.loads(link.body)
        indexed = indexed_fields(sealed["entry"])
        if not isinstance(sealed["seq"], int) or not isinstance(sealed["previous"], str):
            return "it is no sealed entry"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "it is no sealed entry"
    for name, copy in link.indexed.items():
        if indexed.get(name) != copy:
            return f"the column {name} says {copy!r}, the entry {indexed.get(name)!r}"
    return dict(sealed)
