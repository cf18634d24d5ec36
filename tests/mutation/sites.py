"""Every place of a module that can be changed, with a name that a shift of lines does not change."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from types import ModuleType
from typing import Any

from tests.mutation.operators import Around, replacements

# Functions that only write sentences for people.
WORDS = {"__str__", "describe_limits"}


class Kind(StrEnum):
    """Where a change is put in: the code of a function, the default of an argument or field, or a constant."""

    CODE = "code"
    DEFAULT = "default"
    FIELD = "field"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class Key:
    """What names a mutant for good: its function, the statement, the change, and which of several alike."""

    place: str
    line: str
    change: str
    nth: int = 1

    def __str__(self) -> str:
        """Write it in one line."""
        return f"{self.place}: {self.line}  [{self.change}]{f' #{self.nth}' if self.nth > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `new` where `old` stands, in a field of `parent`."""

    parent: ast.AST
    field: str
    at: int | None
    old: ast.AST
    new: ast.AST

    def apply(self) -> None:
        """Change the tree."""
        self._put(ast.fix_missing_locations(ast.copy_location(self.new, self.old)))

    def undo(self) -> None:
        """Change it back."""
        self._put(self.old)

    def _put(self, node: ast.AST) -> None:
        if self.at is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.at] = node


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module; `first` and `last` are the lines that a test must reach to notice it."""

    key: Key
    kind: Kind
    owner: str
    tree: ast.Module
    module: ModuleType
    edit: Edit
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a module that is changed as one: a function's body, or a value."""

    kind: Kind
    owner: str
    root: ast.AST
    fields: tuple[str, ...]
    body: ast.AST


def mutants_of(module: ModuleType) -> list[Mutant]:
    """Return every mutant of a module, in the order of its lines."""
    tree = ast.parse(inspect.getsource(module))
    found: list[Mutant] = []
    seen: Counter[tuple[str, str, str]] = Counter()
    for region in _regions(tree, ""):
        for edit, statement in _edits(region, module):
            key = _key(module.__name__, region.owner, edit, statement)
            named = (key.place, key.line, key.change)
            seen[named] += 1
            first, last = _lines(region, edit, statement)
            found.append(
                Mutant(replace(key, nth=seen[named]), region.kind, region.owner, tree, module, edit, first, last)
            )
    return found


def _regions(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[Region]:
    for node in tree.body:
        match node:
            case ast.FunctionDef() if node.name not in WORDS:
                owner = prefix + node.name
                yield Region(Kind.CODE, owner, node, ("body",), node)
                yield Region(Kind.DEFAULT, owner, node.args, ("defaults", "kw_defaults"), node)
            case ast.ClassDef() if not any("Enum" in ast.unparse(base) for base in node.bases):
                yield from _regions(node, f"{prefix}{node.name}.")
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if prefix:
                if not isinstance(value, ast.Call):  # a field() makes its value itself
                    yield Region(Kind.FIELD, prefix + name, node, ("value",), node)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()) | ast.Assign(targets=[ast.Name(id=name)]):
                # No unions of types or aliases; and no names, which tests took over when they were collected.
                text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
                if not text and name != "__all__" and not isinstance(node.value, ast.BinOp | ast.Name):
                    yield Region(Kind.CONSTANT, name, node, ("value",), node)


def _edits(region: Region, module: ModuleType) -> Iterator[tuple[Edit, ast.AST]]:
    """Yield the changes of a region, each with the statement it stands in."""
    assigned: set[str] = set()
    if isinstance(region.body, ast.FunctionDef):
        assigned = {a.arg for a in (*region.body.args.args, *region.body.args.kwonlyargs)}

    def walk(parent: ast.AST, fields: tuple[str, ...], statement: ast.AST) -> Iterator[tuple[Edit, ast.AST]]:
        for field in fields:
            value = getattr(parent, field, None)
            children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            for at, node in children:
                if isinstance(node, ast.AST) and not _left_alone(node, parent, field):
                    yield from visit(node, parent, field, at, statement)

    def visit(
        node: ast.AST, parent: ast.AST, field: str, at: int | None, statement: ast.AST
    ) -> Iterator[tuple[Edit, ast.AST]]:
        inner = node if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case) else statement
        around = Around(parent, field, lambda call: _optional(call, module), frozenset(assigned))
        for new in replacements(node, around):
            yield Edit(parent, field, at, node, new), inner
        if not isinstance(node, ast.Raise):
            yield from walk(node, tuple(f for f in node._fields if f != "annotation"), inner)
        if isinstance(node, ast.Assign):
            assigned.update(t.id for t in node.targets if isinstance(t, ast.Name))

    yield from walk(region.root, region.fields, region.body)


def _left_alone(node: ast.AST, parent: ast.AST, field: str) -> bool:
    """Return whether nobody could tell: texts for people, types, and marks that do nothing in a test."""
    if isinstance(node, ast.JoinedStr) or field in {"returns", "decorator_list"}:
        return True
    if isinstance(parent, ast.Call) and field == "keywords" and isinstance(node, ast.keyword) and node.arg == "strict":
        return True
    if isinstance(node, ast.Expr):
        text = ast.unparse(node)
        return isinstance(node.value, ast.Constant) or text.startswith(("assert_never(", "reached("))
    return False


def _optional(call: ast.Call, module: ModuleType) -> set[str]:
    """Return which keywords of a call can be left out without an error."""
    name = ast.unparse(call.func)
    if name in {"replace", "dataclasses.replace"}:
        return {k.arg for k in call.keywords if k.arg}
    called: Any = getattr(module, name, None)
    if called is None or not callable(called) or not getattr(called, "__module__", "").startswith("reconciler"):
        return set()
    parameters = inspect.signature(called).parameters.values()
    return {p.name for p in parameters if p.default is not inspect.Parameter.empty}


def _key(module: str, owner: str, edit: Edit, statement: ast.AST) -> Key:
    line = _header(statement)
    if isinstance(edit.new, ast.Match) and isinstance(edit.old, ast.Match):
        dropped = next(case for case in edit.old.cases if case not in edit.new.cases)
        return Key(f"{module}.{owner}", line, f"case {ast.unparse(dropped.pattern)} dropped")
    if isinstance(edit.new, ast.Pass):
        return Key(f"{module}.{owner}", line, "removed")
    return Key(f"{module}.{owner}", line, f"{_text(edit.old)} -> {_text(edit.new)}")


def _header(node: ast.AST) -> str:
    text = ast.unparse(node)
    if isinstance(node, ast.FunctionDef):
        return text[text.index("def ") :].partition("\n")[0]
    simple = isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return | ast.Expr | ast.Raise)
    return " ".join(text.split()) if simple else text.strip().partition("\n")[0]


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(ast.fix_missing_locations(node)).split())


def _lines(region: Region, edit: Edit, statement: ast.AST) -> tuple[int, int]:
    """Return the lines of the change; where it is no line that runs in a test, those of what it changes."""
    if region.kind is not Kind.CODE:
        return (region.body.lineno, region.body.end_lineno) if region.kind is Kind.DEFAULT else (0, 0)  # type: ignore[attr-defined]  # a FunctionDef
    for node in (edit.old, edit.parent, statement):
        if hasattr(node, "lineno"):
            return node.lineno, node.end_lineno  # type: ignore[attr-defined]  # has a place, as was just asked
    raise ValueError(f"{ast.unparse(statement)} has no place in its file")
