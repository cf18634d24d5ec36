"""How a table fits a terminal without losing a word: folded, its last column beneath, or a block a row. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.cells import cell_len

GAP = 2
# A sentence in a narrower column is read word by word.
READABLE = 20


class Shape(StrEnum):
    """Where the columns stand: all beside each other, the last one beneath its row, or each on a line of its own."""

    BESIDE = "beside"
    BENEATH = "beneath"
    BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class Layout:
    """A shape, and the widths of the columns that stand beside each other."""

    shape: Shape
    widths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Texts:
    """A column's name and cells; one that `wraps` may break between words, any other one after the commas of a list."""

    lines: Sequence[str]
    wraps: bool

    @property
    def natural(self) -> int:
        """Return how wide it is unbroken."""
        return _widest(self.lines)

    def least(self, *, lists_fold: bool) -> int:
        """Return how narrow it may become."""
        if self.wraps:
            words = _widest(word for line in self.lines for word in line.split())
            return min(self.natural, max(words, READABLE))
        return _widest(part for line in self.lines for part in _parts(line)) if lists_fold else self.natural


def layout(columns: Sequence[Texts], width: int) -> Layout:
    """Choose the first shape that fits; no word, number or name is ever broken to make it fit."""
    for shape in (Shape.BESIDE, Shape.BENEATH):
        beside = columns if shape is Shape.BESIDE else columns[:-1]
        if not beside or (shape is Shape.BENEATH and not columns[-1].wraps):
            continue
        for lists_fold in (False, True):
            least = [column.least(lists_fold=lists_fold) for column in beside]
            spare = width - sum(least) - GAP * (len(least) - 1)
            if spare >= 0:
                return Layout(shape, _widths(beside, least, spare))
    return Layout(Shape.BLOCKS, ())


def _widths(columns: Sequence[Texts], least: Sequence[int], spare: int) -> tuple[int, ...]:
    """Give what is left to those that had to fold, sentences last."""
    widths = list(least)
    for i in sorted(range(len(columns)), key=lambda i: columns[i].wraps):
        more = min(spare, columns[i].natural - widths[i])
        widths[i] += more
        spare -= more
    return tuple(widths)


def fold(text: str, width: int) -> str:
    """Break a list after commas, so that its lines are no wider than this where that is possible."""
    lines = [""]
    for part in _parts(text):
        longer = f"{lines[-1]} {part}" if lines[-1] else part
        lines = [*lines[:-1], longer] if not lines[-1] or cell_len(longer) <= width else [*lines, part]
    return "\n".join(lines)


def _parts(text: str) -> list[str]:
    return text.replace(", ", ",\n").split("\n")


def _widest(texts: Iterable[str]) -> int:
    return max((cell_len(text) for text in texts), default=0)
