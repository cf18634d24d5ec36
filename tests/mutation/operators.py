"""What may be changed at one place of the code, and what is left alone because nobody could tell. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BOUNDARIES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
NEGATIONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
}  # fmt: skip
SWAPS = {"any": "all", "all": "any", "min": "max", "max": "min", "sorted": "list"}
OPTIONAL = {"min": {"key", "default"}, "max": {"key", "default"}, "sorted": {"key", "reverse"}}
MESSAGES = {"said", "why", "reason", "message", "help", "waits_for", "blocked_by", "stalled"}
WORD = re.compile(r"\S+")
MUTATED = "mutated"


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around a node: its parent, the field of the parent that holds it, and which keywords may go."""

    parent: ast.AST
    field: str
    optional: Callable[[ast.Call], set[str]]
    assigned: frozenset[str]

    @property
    def condition(self) -> bool:
        """Return whether the node is a whole condition: it is made true and made false, which is stricter."""
        return self.field in {"test", "guard"} or (isinstance(self.parent, ast.comprehension) and self.field == "ifs")


def replacements(node: ast.AST, around: Around) -> Iterator[ast.AST]:
    """Yield what a node may be replaced by; ast.Pass stands for a statement that is removed."""
    if around.condition and not isinstance(node, ast.Constant) and not _only_words(around.parent):
        yield ast.Constant(value=True)
        yield ast.Constant(value=False)
    if isinstance(node, ast.stmt):
        yield from _statement(node, around)
    elif isinstance(node, ast.Constant):
        yield from _constant(node, around)
    elif isinstance(node, ast.Call):
        yield from _call(node, around)
    else:
        yield from _expression(node, around)


def _statement(node: ast.stmt, around: Around) -> Iterator[ast.AST]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()) | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Name(id=name)]) if name in around.assigned:
            yield ast.Pass()
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) not in {"None", "False", "''", "0"}:
            yield ast.Return(value=ast.Constant(value=None))
        case ast.Continue() | ast.Break():
            yield ast.Pass()
            yield ast.Break() if isinstance(node, ast.Continue) else ast.Continue()
        case ast.Match():
            yield from _match(node)


def _match(node: ast.Match) -> Iterator[ast.AST]:
    for dropped in node.cases if len(node.cases) > 1 else ():
        if "assert_never" not in ast.unparse(dropped):
            yield ast.Match(subject=node.subject, cases=[c for c in node.cases if c is not dropped])


def _constant(node: ast.Constant, around: Around) -> Iterator[ast.AST]:
    match node.value:
        case bool():
            yield ast.Constant(value=not node.value)
        case int():
            yield ast.Constant(value=node.value + 1)
            if node.value == 1:
                yield ast.Constant(value=0)
        case float():
            yield ast.Constant(value=node.value + 1)
        case str() if _decides(node.value, around):
            yield ast.Constant(value=MUTATED)


def _decides(text: str, around: Around) -> bool:
    """Return whether a text is a word that code looks at, and no message to people."""
    parent = around.parent
    if not text:
        return isinstance(parent, ast.Return | ast.Compare)
    if isinstance(parent, ast.keyword) and parent.arg in MESSAGES:
        return False
    joins = isinstance(parent, ast.Attribute) and parent.attr == "join"
    return WORD.fullmatch(text) is not None and not isinstance(parent, ast.Expr | ast.IfExp) and not joins


def _only_words(node: ast.AST) -> bool:
    """Return whether a choice is between two texts, so that it only changes a message."""
    return isinstance(node, ast.IfExp) and all(
        isinstance(part, ast.JoinedStr) or (isinstance(part, ast.Constant) and isinstance(part.value, str))
        for part in (node.body, node.orelse)
    )


def _call(node: ast.Call, around: Around) -> Iterator[ast.AST]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in SWAPS and not (name == "sorted" and node.keywords):
        yield ast.Call(func=ast.Name(id=SWAPS[name], ctx=ast.Load()), args=node.args, keywords=node.keywords)
    if name == "next" and len(node.args) == 2:
        yield ast.Call(func=node.func, args=node.args[:1], keywords=[])
    removable = OPTIONAL.get(name, set()) | around.optional(node)
    for keyword in node.keywords:
        if keyword.arg in removable and keyword.arg not in MESSAGES:
            rest = [k for k in node.keywords if k is not keyword]
            yield ast.Call(func=node.func, args=node.args, keywords=rest)


def _expression(node: ast.AST, around: Around) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            yield from _compare(node, around)
        case ast.BoolOp():
            yield ast.BoolOp(op=ast.Or() if isinstance(node.op, ast.And) else ast.And(), values=node.values)
            yield from (_without(node, value) for value in node.values)
        case ast.UnaryOp(op=ast.Not()) if not around.condition:
            yield node.operand
        case ast.BinOp(op=ast.BitOr()):
            yield node.left
            yield node.right
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield ast.BinOp(left=node.left, op=ARITHMETIC[type(node.op)](), right=node.right)
        case ast.Tuple() | ast.List() | ast.Set():
            yield from _shorter(node, around)
        case ast.Slice():
            yield ast.Slice(lower=None, upper=None, step=node.step)
        case ast.comprehension() | ast.IfExp():
            pass  # their conditions are changed as such


def _compare(node: ast.Compare, around: Around) -> Iterator[ast.AST]:
    for at, operator in enumerate(node.ops):
        for table in (BOUNDARIES,) if around.condition and len(node.ops) == 1 else (BOUNDARIES, NEGATIONS):
            if type(operator) in table:
                ops = [*node.ops[:at], table[type(operator)](), *node.ops[at + 1 :]]
                yield ast.Compare(left=node.left, ops=ops, comparators=node.comparators)


def _without(node: ast.BoolOp, dropped: ast.expr) -> ast.expr:
    rest = [v for v in node.values if v is not dropped]
    return rest[0] if len(rest) == 1 else ast.BoolOp(op=node.op, values=rest)


def _shorter(node: ast.Tuple | ast.List | ast.Set, around: Around) -> Iterator[ast.AST]:
    """Drop one of several: what is looked for, caught, or put together; of two fixed places none can go."""
    parent = around.parent
    looked_for = (
        isinstance(parent, ast.Compare | ast.ExceptHandler)
        or (isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name))
        or (isinstance(parent, ast.Call) and ast.unparse(parent.func) == "isinstance")
    )
    if len(node.elts) < 2 or not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return
    for element in node.elts:
        if looked_for or isinstance(element, ast.Starred):
            rest = [e for e in node.elts if e is not element]
            yield ast.Set(elts=rest) if isinstance(node, ast.Set) else type(node)(elts=rest, ctx=ast.Load())
