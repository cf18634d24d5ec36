"""Tables, drawn for a terminal as they fit it, or written for a pipe a line a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reconciler.cli.fitting import GAP, Shape, Texts, fold, layout
from reconciler.cli.present import Cell, Column, Tone

_INDENT = 4
_BETWEEN = (0, GAP, 0, 0)
_FAINT = Tone.FAINT.value


def drawn(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Iterator[RenderableType]:
    """Yield the parts of a table, drawn so that they fit this many characters."""
    cells = zip(*rows, strict=True) if rows else [()] * len(columns)
    texts = [Texts([c.name, *(cell.text for cell in own)], c.wraps) for c, own in zip(columns, cells, strict=True)]
    fitting = layout(texts, width)
    match fitting.shape:
        case Shape.BESIDE:
            yield _beside(columns, fitting.widths, rows, heading=True)
        case Shape.BENEATH:
            yield from _beneath(columns, fitting.widths, rows)
        case Shape.BLOCKS:
            yield from _blocks(columns, rows)


def plain(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """Yield the lines of an aligned table, never cut or wrapped."""
    lines = [[column.name for column in columns], *([cell.text for cell in row] for row in rows)]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        padded = []
        for column, text, width in zip(columns, line, widths, strict=True):
            fill = " " * (width - cell_len(text))
            padded.append(fill + text if column.right else text + fill)
        yield (" " * GAP).join(padded).rstrip()


def _beside(
    columns: Sequence[Column], widths: Sequence[int], rows: Sequence[Sequence[Cell]], *, heading: bool
) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=_BETWEEN, header_style=_FAINT, show_header=heading)
    for column, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.name, justify=justify, width=width, no_wrap=not column.wraps, overflow="fold")
    for row in rows:
        shown = zip(columns, widths, row, strict=True)
        table.add_row(*(Text(x.text if c.wraps else fold(x.text, width), style=x.tone.value) for c, width, x in shown))
    return table


def _beneath(
    columns: Sequence[Column], widths: Sequence[int], rows: Sequence[Sequence[Cell]]
) -> Iterator[RenderableType]:
    """Draw the last column on lines of its own, beneath each row."""
    yield _beside(columns[:-1], widths, [], heading=True)
    yield _indented(Cell(columns[-1].name, Tone.FAINT))
    for *row, last in rows:
        yield _beside(columns[:-1], widths, [row], heading=False)
        if last.text:
            yield _indented(last)


def _indented(cell: Cell) -> RenderableType:
    return Padding(Text(cell.text, style=cell.tone.value), (0, 0, 0, _INDENT))


def _blocks(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Iterator[RenderableType]:
    """Draw each row as lines of name and text; what is empty is left out."""
    names = max(len(column.name) for column in columns)
    for number, row in enumerate(rows):
        if number:
            yield ""
        block = Table.grid(padding=_BETWEEN)
        block.add_column(style=_FAINT, width=names)
        block.add_column(overflow="fold")
        for column, cell in zip(columns, row, strict=True):
            if cell.text:
                block.add_row(column.name, Text(cell.text, style=cell.tone.value))
        yield block
