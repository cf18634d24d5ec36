"""One file to its documents, without judging them by policy: what comes out depends on path and bytes alone."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from yaml.nodes import Node

from reconciler.desired.base import NAME_LENGTH, NAME_PATTERN
from reconciler.desired.documents import API_VERSION
from reconciler.desired.files import MAX_FILE_BYTES, too_large
from reconciler.desired.state import Diagnostic, Severity
from reconciler.desired.yaml_nodes import (
    FieldPath,
    Place,
    Problem,
    Unparsable,
    YamlDocument,
    compose,
    locate,
    locate_key,
    read_documents,
)

GROUP = "reconciler.dev/"
MODEL, POLICY = KINDS = ("Model", "RepositoryPolicy")
_NAME = re.compile(NAME_PATTERN)
_LONGEST_SOURCE_LINE = 400


@dataclass(frozen=True, slots=True)
class RawDocument:
    """One document of ours: `text` is its value as JSON, `name` is None where it cannot be told.

    `problems` are those of YAML itself and of apiVersion and kind: with any, the document is not in force.
    """

    index: int
    kind: str
    name: str | None
    line: int
    text: str
    problems: tuple[Diagnostic, ...] = ()

    def value(self) -> dict[str, Any]:
        """Return the document as a new mapping."""
        value: dict[str, Any] = json.loads(self.text)
        return value


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The documents of one file.

    `unreadable` is true when some of them could not be told; `may_be_policy` when the policy may be among those.
    """

    path: str
    data: bytes
    documents: tuple[RawDocument, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    unreadable: bool = False
    may_be_policy: bool = False

    def place(self, document: RawDocument, field: FieldPath) -> tuple[Place, int]:
        """Return where a field's value stands, and how many steps of the field path the document has."""
        return locate(_roots(self.data)[document.index], field)

    def key_place(self, document: RawDocument, field: FieldPath) -> Place:
        """Return where a field's key stands."""
        return locate_key(_roots(self.data)[document.index], field)

    def diagnostic(
        self,
        code: str,
        message: str,
        place: Place,
        field: FieldPath,
        *,
        advice: str,
        label: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Diagnostic:
        """Return a diagnostic about a field, at a place of this file."""
        return Diagnostic(
            code=code,
            message=message,
            path=self.path,
            line=place.line,
            column=place.column,
            field=field_text(field),
            help=advice,
            source=source_line(self.data, place.line),
            length=place.length,
            severity=severity,
            label=label,
        )


def source_line(data: bytes, line: int) -> str:
    """Return the text of a line that counts from 1, "" where there is none."""
    lines = _lines(data)
    return lines[line - 1].rstrip("\r")[:_LONGEST_SOURCE_LINE] if 0 < line <= len(lines) else ""


# One file may have problems by the thousands, each of which asks for its place: the file is taken apart once for all.
@lru_cache(maxsize=1)
def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").split("\n")


@lru_cache(maxsize=1)
def _roots(data: bytes) -> tuple[Node, ...]:
    return tuple(compose(data))


def let_go_of_places() -> None:
    """Free what was kept to find places: the nodes of a file are a hundred times larger than its text."""
    _lines.cache_clear()
    _roots.cache_clear()


def field_text(field: Sequence[str | int]) -> str:
    """Write a field path as people do: spec.promotion.gates[0].min."""
    text = ""
    for step in field:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def parse_file(path: str, data: bytes) -> ParsedFile:
    """Read a file's documents; whatever the bytes are, problems come back as diagnostics."""
    # A byte order mark would shift the columns of the first line.
    data = data.removeprefix(b"\xef\xbb\xbf")
    problem = _check_bytes(data)
    if problem is not None:
        return _unparsable(path, data, problem)
    try:
        found = list(read_documents(data))
    except Unparsable as error:
        return _unparsable(path, data, error.problem)
    documents = tuple(
        _raw(path, data, index, document) for index, document in enumerate(found) if _is_ours(document.value)
    )
    unreadable = any(document.name is None and document.kind != POLICY for document in documents)
    return ParsedFile(path, data if documents else b"", documents, (), unreadable)


def _check_bytes(data: bytes) -> Problem | None:
    if len(data) > MAX_FILE_BYTES:
        error = too_large(len(data))
        return Problem("file-too-large", str(error), Place(0, 0), error.advice)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode("utf-8")) + 1)
        return Problem("not-utf-8", f"the byte 0x{data[error.start]:02x} is not UTF-8", place, "save the file as UTF-8")
    if b"\0" in data:
        before = data[: data.index(b"\0")]
        place = Place(before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode("utf-8")) + 1)
        return Problem("nul-byte", "the file holds a NUL byte", place, "a binary file does not belong here; remove it")
    return None


def _unparsable(path: str, data: bytes, problem: Problem) -> ParsedFile:
    # A broken file of somebody else's (a chart template, say) must not hold up the models beside it.
    ours = GROUP.encode() in data
    severity = Severity.ERROR if ours else Severity.WARNING
    diagnostic = to_diagnostic(path, data, problem, severity=severity)
    return ParsedFile(path, b"", (), (diagnostic,), unreadable=ours, may_be_policy=ours and POLICY.encode() in data)


def to_diagnostic(path: str, data: bytes, problem: Problem, *, severity: Severity = Severity.ERROR) -> Diagnostic:
    """Turn a problem of the YAML itself into a diagnostic."""
    place = problem.place
    return Diagnostic(
        code=problem.code,
        message=problem.message,
        path=path,
        line=place.line,
        column=place.column,
        help=problem.help,
        source=source_line(data, place.line) if place.line else "",
        length=place.length,
        severity=severity,
    )


def _is_ours(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    group = value.get("apiVersion")
    if isinstance(group, str) and group.startswith(GROUP):
        return True
    # A slip in apiVersion must not make a model vanish, for what vanishes is taken down.
    return value.get("kind") in KINDS and "spec" in value and (not isinstance(group, str) or _resembles(group))


def _resembles(api_version: str) -> bool:
    # What is much longer resembles nothing, and would take long to find that out.
    close = len(api_version) <= 2 * len(API_VERSION)
    return close and difflib.SequenceMatcher(None, api_version.lower(), API_VERSION).ratio() > 0.8


def _raw(path: str, data: bytes, index: int, document: YamlDocument) -> RawDocument:
    value = document.value
    problems = [to_diagnostic(path, data, problem) for problem in document.problems]
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    kind = value.get("kind")
    raw = RawDocument(index, kind if kind in KINDS else "", _name(value), document.place.line, text)
    problems += _check_header(ParsedFile(path, data, (raw,)), raw, value)
    return RawDocument(index, raw.kind, raw.name, raw.line, text, tuple(problems))


def _name(value: dict[str, Any]) -> str | None:
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) and len(name) <= NAME_LENGTH and _NAME.fullmatch(name) else None


def _check_header(file: ParsedFile, document: RawDocument, value: dict[str, Any]) -> list[Diagnostic]:
    problems = []
    if value.get("apiVersion") != API_VERSION:
        message = (
            f"apiVersion {value['apiVersion']} is not known"
            if "apiVersion" in value
            else f"apiVersion is missing beside kind: {value.get('kind')}"
        )
        problems.append(_header(file, document, "apiVersion", message, f"write apiVersion: {API_VERSION}"))
    if not document.kind:
        kind = value.get("kind")
        close = difflib.get_close_matches(str(kind), KINDS, 1)
        advice = f'did you mean "{close[0]}"?' if close else f"kinds are {' and '.join(KINDS)}"
        message = f"kind {kind} is not known" if "kind" in value else "kind is missing"
        problems.append(_header(file, document, "kind", message, advice))
    return problems


def _header(file: ParsedFile, document: RawDocument, field: str, message: str, advice: str) -> Diagnostic:
    place, _ = file.place(document, (field,))
    code = "unknown-" + {"apiVersion": "api-version"}.get(field, field)
    return file.diagnostic(code, message, place, (field,), advice=advice)
