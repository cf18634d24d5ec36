"""YAML as plain JSON values, with limits, and with the place of every value.

Composing is libyaml's; constructing is ours, because the libraries' own accept duplicate keys, expand aliases without
end, make dates, and forget where things stood.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reconciler.desired.yaml_scalars import Surprise, quoted, read_scalar

MAX_DEPTH = 64
MAX_ALIASES = 100
MAX_VALUES = 100_000
# A document with one problem is not in force; more than anybody reads would only cost time.
MAX_PROBLEMS = 50

_PLAIN, _TEXT, _SEQUENCE, _MAPPING = "plain", "text", "sequence", "mapping"
_KIND_OF_TAG = {
    _TEXT: _TEXT,
    _PLAIN: _PLAIN,
    "!": _TEXT,
    "tag:yaml.org,2002:str": _TEXT,
    "tag:yaml.org,2002:int": _PLAIN,
    "tag:yaml.org,2002:float": _PLAIN,
    "tag:yaml.org,2002:bool": _PLAIN,
    "tag:yaml.org,2002:null": _PLAIN,
}
_COLLECTION_TAGS = frozenset((_SEQUENCE, _MAPPING, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"))
_KIND_OF_NODE: dict[type[Node], str] = {SequenceNode: _SEQUENCE, MappingNode: _MAPPING}

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: `line` and `column` count from 1; `text` is an unquoted scalar as it is written."""

    line: int
    column: int
    length: int = 1
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the YAML itself, and where."""

    code: str
    message: str
    place: Place
    help: str = ""


class Unparsable(Exception):  # noqa: N818  it carries the problem
    """The text cannot be read as YAML any further."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(slots=True)
class YamlDocument:
    """One document of a file as JSON values; with `problems` it is not to be used, only to be named."""

    value: Any
    place: Place
    problems: list[Problem] = field(default_factory=list)


class _Composer(CParser):
    """libyaml's composer: leaves plain scalars as they are written, and counts the depth."""

    def __init__(self, stream: bytes) -> None:
        CParser.__init__(self, stream)
        self._depth = 0

    def resolve(self, kind: type[Node], _value: object, implicit: object) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _TEXT  # type: ignore[index]  # a pair of bools for scalars
        return _KIND_OF_NODE[kind]

    def descend_resolver(self, parent: Node | None, _index: object) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unparsable(_too_deep(parent))

    def ascend_resolver(self) -> None:
        self._depth -= 1


def _too_deep(node: Node | None) -> Problem:
    return Problem("yaml-depth", f"nested deeper than {MAX_DEPTH} levels", place_of(node), "flatten the document")


def compose(stream: bytes) -> Iterator[Node]:
    """Yield the root node of each document. Raises Unparsable."""
    try:
        composer = _Composer(stream)
        while composer.check_node():
            node = composer.get_node()
            if node is not None:
                yield node
    except MarkedYAMLError as error:
        raise Unparsable(_syntax(error, stream)) from error
    except YAMLError as error:
        raise Unparsable(Problem("yaml-syntax", f"not YAML: {error}", Place(1, 1))) from error


def read_documents(stream: bytes) -> Iterator[YamlDocument]:
    """Yield each document of a file as plain values. Raises Unparsable."""
    builder = _AliasBuilder if b"*" in stream else _Builder
    for node in compose(stream):
        document = YamlDocument(None, place_of(node))
        document.value = builder(document.problems).build(node, 1)
        yield document


class _Builder:
    """Turns nodes into values; problems that do not hide the rest are collected."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def build(self, node: Node, depth: int) -> Any:
        if node.__class__ is ScalarNode:
            return self._scalar(node)
        if node.__class__ is MappingNode:
            return self._mapping(node, depth + 1)
        self._check_tag(node)
        return [self.build(item, depth + 1) for item in node.value]

    def _scalar(self, node: ScalarNode) -> Any:
        tag = node.tag
        if tag == _TEXT:
            return node.value
        kind = _KIND_OF_TAG.get(tag)
        if kind is None:
            self._refuse_tag(node)
        elif kind == _PLAIN:
            try:
                return read_scalar(node.value)
            except Surprise as surprise:
                self._report(Problem("yaml-ambiguous", str(surprise), place_of(node), surprise.advice))
        return node.value

    def _report(self, problem: Problem) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        self._check_tag(node)
        values: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key == "<<" and key_node.tag == _PLAIN:
                merged.append(value_node)
            elif key in values:
                self._duplicate(key, key_node, node)
            else:
                values[key] = self.build(value_node, depth)
        for source in merged:
            self._merge(values, source, depth)
        return values

    def _key(self, node: Node) -> str:
        if node.__class__ is not ScalarNode:
            self._report(
                Problem("yaml-key", "a key must be text", place_of(node), "write the key as one word, or quote it")
            )
            return f"?{node.start_mark.index}"
        key: str = node.value
        if node.tag == _PLAIN and not isinstance(_plain_or_text(key), str):
            value = _plain_or_text(key)
            shown = {True: "true", False: "false", None: "null"}.get(value, "a number")
            self._report(
                Problem(
                    "yaml-key",
                    f"the key {key} without quotes is {shown} in YAML 1.1, not text",
                    place_of(node),
                    f"quote it: {quoted(key)}",
                )
            )
        return key

    def _duplicate(self, key: str, node: Node, mapping: MappingNode) -> None:
        if len(self._problems) >= MAX_PROBLEMS:
            return  # looking for the first of them is what takes time
        first = next(k for k, _ in mapping.value if k.value == key)
        self._report(
            Problem(
                "yaml-duplicate-key",
                f"the key {quoted(key)} is already given in line {first.start_mark.line + 1}",
                place_of(node),
                "keep one of the two",
            )
        )

    def _merge(self, values: dict[str, Any], source: Node, depth: int) -> None:
        given = self.build(source, depth)
        for mapping in given if isinstance(given, list) else [given]:
            if not isinstance(mapping, dict):
                self._report(Problem("yaml-merge", "`<<` merges mappings only", place_of(source)))
                return
            for key, value in mapping.items():
                values.setdefault(key, value)

    def _check_tag(self, node: Node) -> None:
        if node.tag not in _COLLECTION_TAGS:
            self._refuse_tag(node)

    def _refuse_tag(self, node: Node) -> None:
        tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
        self._report(Problem("yaml-tag", f"the tag {tag} is not known", place_of(node), "leave the tag out"))


class _AliasBuilder(_Builder):
    """Also counts what aliases expand to: a node that is reached from a second place is reached by an alias."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self._places: dict[int, tuple[int, int]] = {}
        self._parents: list[list[int]] = [[0, 0]]
        self._aliases = 0
        self._values = 0

    def build(self, node: Node, depth: int) -> Any:
        self._count(node, depth)
        self._parents.append([id(node), 0])
        value = super().build(node, depth)
        self._parents.pop()
        return value

    def _count(self, node: Node, depth: int) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise Unparsable(Problem("yaml-size", f"more than {MAX_VALUES:,} values", place_of(node)))
        if depth > MAX_DEPTH:
            raise Unparsable(_too_deep(node))
        parent = self._parents[-1]
        parent[1] += 1
        place = (parent[0], parent[1])
        if self._places.setdefault(id(node), place) != place:
            self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise Unparsable(
                Problem(
                    "yaml-aliases",
                    f"more than {MAX_ALIASES} alias expansions",
                    place_of(node),
                    "write the values out; defaults for all models belong into the RepositoryPolicy",
                )
            )


def _plain_or_text(text: str) -> Any:
    try:
        return read_scalar(text)
    except Surprise:
        return text


def place_of(node: Node | None) -> Place:
    """Return where a node stands."""
    if node is None:
        return Place(1, 1)
    start, end = node.start_mark, node.end_mark
    # A mapping or list that is still being read has no end.
    length = end.column - start.column if end is not None and end.line == start.line else 1
    text = node.value if node.__class__ is ScalarNode and node.tag == _PLAIN else None
    return Place(start.line + 1, start.column + 1, max(1, length), text)


def locate(root: Node, path: Sequence[str | int]) -> tuple[Place, int]:
    """Return the place of the value at a field path, and how many steps of the path the document really has."""
    node, mark = root, place_of(root)
    for depth, step in enumerate(path):
        found = _child(node, step)
        if found is None:
            return mark, depth
        key, node = found
        # A mapping or list is best shown by its key.
        mark = place_of(node if node.__class__ is ScalarNode or key is None else key)
    return mark, len(path)


def locate_key(root: Node, path: Sequence[str | int]) -> Place:
    """Return the place of the key that a field path ends with, or of the nearest parent."""
    node = root
    for step in path[:-1]:
        found = _child(node, step)
        if found is None:
            return place_of(node)
        node = found[1]
    found = _child(node, path[-1]) if path else None
    return locate(root, path)[0] if found is None or found[0] is None else place_of(found[0])


def _child(node: Node, step: str | int) -> tuple[Node | None, Node] | None:
    if isinstance(node, SequenceNode):
        return (None, node.value[step]) if isinstance(step, int) and step < len(node.value) else None
    if not isinstance(node, MappingNode):
        return None
    for key, value in node.value:
        if key.value == step:
            return key, value
    for key, value in node.value:
        if key.value == "<<":
            for source in value.value if isinstance(value, SequenceNode) else [value]:
                found = _child(source, step)
                if found is not None:
                    return found
    return None


def _syntax(error: MarkedYAMLError, stream: bytes) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    lines = stream.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else b""
    if b"\t" in line[: len(line) - len(line.lstrip())]:
        return Problem("yaml-tab", "a tab indents this line", place, "YAML indents with spaces only")
    help_text = ""
    if error.problem == "mapping values are not allowed in this context":
        help_text = "quote a value that holds `: `, or check the indentation"
    context = f" {error.context}" if error.context else ""
    return Problem("yaml-syntax", f"not YAML: {error.problem}{context}", place, help_text)
