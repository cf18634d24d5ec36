"""Put a mutant into the running process: whoever imported the function, class or constant has the changed one."""

from __future__ import annotations

import ast
import inspect
import sys
from types import CodeType, FunctionType
from typing import Any

from tests.mutation.sites import Kind, Mutant


def swap_in(mutant: Mutant) -> None:
    """Change the process for good; meant for a child that ends after its tests."""
    mutant.edit.apply()
    match mutant.kind:
        case Kind.CODE:
            compiled = compile(mutant.tree, str(mutant.module.__file__), "exec", dont_inherit=True)
            function_of(mutant).__code__ = _code(compiled, mutant.owner.split("."))
        case Kind.DEFAULT:
            _default(mutant)
        case Kind.FIELD:
            _field(mutant)
        case Kind.CONSTANT:
            _constant(mutant)


def function_of(mutant: Mutant) -> FunctionType:
    """Return the function that a mutant changes, below properties, static methods and other wrappings."""
    *classes, name = mutant.owner.split(".")
    owner: Any = mutant.module
    for part in classes:
        owner = getattr(owner, part)
    found: Any = vars(owner)[name]
    if isinstance(found, property):
        found = found.fget
    found = inspect.unwrap(getattr(found, "__func__", found))
    if not isinstance(found, FunctionType):
        raise TypeError(f"{mutant.key.place} is no function that can be changed: {found!r}")
    return found


def _code(compiled: CodeType, path: list[str]) -> CodeType:
    inner = [c for c in compiled.co_consts if isinstance(c, CodeType) and c.co_name == path[0]]
    return inner[-1] if len(path) == 1 else _code(inner[-1], path[1:])


def _value(mutant: Mutant, node: ast.expr) -> Any:
    expression = ast.fix_missing_locations(ast.Expression(body=node))
    return eval(compile(expression, str(mutant.module.__file__), "eval", dont_inherit=True), vars(mutant.module))  # noqa: S307  our own code


def _default(mutant: Mutant) -> None:
    function, arguments = function_of(mutant), mutant.edit.parent
    while not isinstance(arguments, ast.arguments):
        arguments = next(n for n in ast.walk(mutant.tree) if arguments in ast.iter_child_nodes(n))
    function.__defaults__ = tuple(_value(mutant, d) for d in arguments.defaults)
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    function.__kwdefaults__ = {a.arg: _value(mutant, d) for a, d in keywords if d is not None}


def _field(mutant: Mutant) -> None:
    """Change a dataclass field's default where it is read: in the generated __init__."""
    *classes, name = mutant.owner.split(".")
    made: Any = mutant.module
    for part in classes:
        made = getattr(made, part)
    init, node = made.__init__, _assignment(mutant, name).value
    assert node is not None
    names = init.__code__.co_varnames[: init.__code__.co_argcount]
    at = names.index(name) - (len(names) - len(init.__defaults__))
    init.__defaults__ = (*init.__defaults__[:at], _value(mutant, node), *init.__defaults__[at + 1 :])


def _assignment(mutant: Mutant, name: str) -> ast.Assign | ast.AnnAssign:
    *classes, _ = mutant.owner.split(".")
    body: list[ast.stmt] = mutant.tree.body
    for part in classes:
        body = next(n for n in body if isinstance(n, ast.ClassDef) and n.name == part).body
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and any(
            isinstance(t, ast.Name) and t.id == name for t in targets
        ):
            return node
    raise LookupError(f"{mutant.key.place} is assigned nowhere")


def _constant(mutant: Mutant) -> None:
    node = _assignment(mutant, mutant.owner).value
    assert node is not None
    before, after = vars(mutant.module)[mutant.owner], _value(mutant, node)
    for module in list(sys.modules.values()):
        if vars(module).get(mutant.owner) is before:
            setattr(module, mutant.owner, after)
    for function in mutant.tree.body:
        if isinstance(function, ast.FunctionDef) and mutant.owner in map(ast.unparse, function.args.defaults):
            defaults = tuple(_value(mutant, d) for d in function.args.defaults)
            vars(mutant.module)[function.name].__defaults__ = defaults
