"""All documents of one commit together: the desired state.

Only what changed is parsed and validated again; what did not change stays the very same object, with the commit at
which it changed last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from reconciler.desired.base import Document
from reconciler.desired.explain import Origin
from reconciler.desired.files import MAX_FILE_BYTES, Digest, FileProblem, Snapshot, too_large
from reconciler.desired.judge import Judged, Named, Rules, judge
from reconciler.desired.parse import POLICY, ParsedFile, RawDocument, let_go_of_places, parse_file
from reconciler.desired.pipeline import NotAPipeline, Parameter, read_pipeline
from reconciler.desired.policy import PolicyKeeper
from reconciler.desired.settle import Past, Settlement, ordered, settle
from reconciler.desired.state import Commit, DesiredModel, DesiredState, Diagnostic

NO_DOCUMENTS = Diagnostic(
    code="no-documents",
    message="no document of reconciler.dev was found, which is never taken for a wish to remove everything",
    path=".",
    help="check the branch and the path in the settings; to remove all models, keep the RepositoryPolicy",
)

POLICY_UNKNOWN = "policy-unknown"

Parse = Callable[[str, bytes], ParsedFile]


@dataclass(frozen=True, slots=True)
class _JudgedFile:
    """The verdicts of one file, and what they depend on."""

    parsed: ParsedFile
    rules: object
    verdicts: tuple[Judged, ...]


@dataclass(slots=True)
class _Blobs:
    """Bytes of the files that documents name, by digest, so that models of one pipeline share them."""

    snapshot: Snapshot
    known: Mapping[Digest, bytes]
    pipelines: Mapping[Digest, Mapping[str, Parameter] | NotAPipeline]
    used: dict[Digest, bytes] = field(default_factory=dict)
    used_pipelines: dict[Digest, Mapping[str, Parameter] | NotAPipeline] = field(default_factory=dict)

    def read(self, path: str, digest: Digest) -> bytes:
        if digest not in self.used:
            known = self.known.get(digest)
            data = self.snapshot.read(path, digest) if known is None else known
            if len(data) > MAX_FILE_BYTES:
                raise too_large(len(data))
            self.used[digest] = data
        return self.used[digest]

    def pipeline(self, path: str, digest: Digest) -> Mapping[str, Parameter]:
        if digest not in self.used_pipelines:
            known = self.pipelines.get(digest)
            self.used_pipelines[digest] = _read_pipeline(self.read(path, digest)) if known is None else known
        found = self.used_pipelines[digest]
        if isinstance(found, NotAPipeline):
            raise found
        return found

    def keep(self, digest: Digest) -> None:
        """Keep what an unchanged model names."""
        if digest in self.known:
            self.used[digest] = self.known[digest]
        if digest in self.pipelines:
            self.used_pipelines[digest] = self.pipelines[digest]


def _read_pipeline(data: bytes) -> Mapping[str, Parameter] | NotAPipeline:
    try:
        return read_pipeline(data)
    except NotAPipeline as error:
        return error


class Assembler:
    """Makes the desired state of one commit after the other, and remembers what it need not do again."""

    def __init__(self, parse: Parse = parse_file) -> None:
        self._parse = parse
        self._parsed: dict[str, tuple[Digest, ParsedFile]] = {}
        self._judged: dict[str, _JudgedFile] = {}
        self._blobs: Mapping[Digest, bytes] = {}
        self._pipelines: Mapping[Digest, Mapping[str, Parameter] | NotAPipeline] = {}
        self._policy = PolicyKeeper()
        self._sections: WeakValueDictionary[str, Document] = WeakValueDictionary()
        self._settled = Settlement()

    def assemble(self, commit: Commit, snapshot: Snapshot, last_good: Mapping[str, DesiredModel]) -> DesiredState:
        """Return the desired state of a commit; models that are not valid in it keep their last good spec."""
        files = self._read(snapshot)
        policy = self._policy.choose(files)
        judged = self._judge(files, policy.rules, snapshot) if policy.rules else _unjudged(files)
        found = [*snapshot.problems, *(d for file in files for d in file.diagnostics), *policy.diagnostics]
        broken = _broken(files, judged, snapshot.problems)
        if not broken and not any(file.documents for file in files):
            found.append(NO_DOCUMENTS)
            broken = {NO_DOCUMENTS.path: (NO_DOCUMENTS,)}
        let_go_of_places()
        self._settled = settle(commit, judged, broken, Past(self._settled, last_good))
        # That the policy is unknown is said once, not beside every document.
        found += [d for d in self._settled.diagnostics if d.code != POLICY_UNKNOWN]
        return DesiredState(commit, self._settled.models, policy.in_force, ordered(found), frozenset(broken))

    def _read(self, snapshot: Snapshot) -> list[ParsedFile]:
        before, after = self._parsed, {}
        for document in snapshot.documents:
            path, digest = document.path, document.digest
            known = before.get(path)
            if known is None or known[0] != digest:
                known = (digest, self._parse_one(snapshot, path, digest))
            after[path] = known
        self._parsed = after
        return [parsed for _, parsed in after.values()]

    def _parse_one(self, snapshot: Snapshot, path: str, digest: Digest) -> ParsedFile:
        try:
            data = snapshot.read(path, digest)
        except FileProblem as problem:
            diagnostic = Diagnostic(code="file-refused", message=str(problem), path=path, help=problem.advice)
            return ParsedFile(path, b"", (), (diagnostic,), unreadable=True)
        return self._parse(path, data)

    def _judge(self, files: Sequence[ParsedFile], rules: Rules, snapshot: Snapshot) -> list[Judged]:
        blobs = _Blobs(snapshot, self._blobs, self._pipelines)
        named = _Names(snapshot, blobs)
        before, after = self._judged, {}
        for file in files:
            if file.documents:
                known = before.get(file.path)
                if known is None or known.parsed is not file or not _still_true(known, rules, named):
                    known = _judge_file(file, rules, named, self._sections)
                after[file.path] = known
        self._judged = after
        self._blobs, self._pipelines = blobs.used, blobs.used_pipelines
        return [verdict for known in after.values() for verdict in known.verdicts]


class _Names:
    """Looks up the files that documents name, each once a commit."""

    def __init__(self, snapshot: Snapshot, blobs: _Blobs) -> None:
        self.blobs = blobs
        self._snapshot = snapshot
        self._digests: dict[str, Digest | FileProblem] = {}
        self.verified: set[tuple[tuple[str, Digest | None], ...]] = {()}

    def digest(self, path: str) -> Digest:
        found = self.look_up(path)
        if isinstance(found, FileProblem):
            raise found
        return found

    def verify(self, digests: tuple[tuple[str, Digest | None], ...]) -> bool:
        """Tell whether the files are still what they were; what could not be used is looked at again."""
        for path, digest in digests:
            if digest is None or self.look_up(path) != digest:
                return False
            self.blobs.keep(digest)
        self.verified.add(digests)
        return True

    def look_up(self, path: str) -> Digest | FileProblem:
        found = self._digests.get(path)
        if found is None:
            try:
                found = self._snapshot.digest(path)
            except FileProblem as problem:
                found = problem
            self._digests[path] = found
        return found


def _still_true(known: _JudgedFile, rules: Rules, names: _Names) -> bool:
    if known.rules is not rules:
        return False
    return all(verdict.digests in names.verified or names.verify(verdict.digests) for verdict in known.verdicts)


def _judge_file(
    file: ParsedFile, rules: Rules, names: _Names, sections: WeakValueDictionary[str, Document]
) -> _JudgedFile:
    named = Named(names.digest, names.blobs.read, names.blobs.pipeline, sections.setdefault)
    documents = [document for document in file.documents if document.kind != POLICY]
    verdicts = tuple(judge(Origin(file, document, rules.origin), rules, named) for document in documents)
    return _JudgedFile(file, rules, verdicts)


def _unjudged(files: Sequence[ParsedFile]) -> list[Judged]:
    """Return a verdict without a spec for every model: under which policy it stands is not known."""
    return [_unjudged_one(file, document) for file in files for document in file.documents if document.kind != POLICY]


def _unjudged_one(file: ParsedFile, document: RawDocument) -> Judged:
    diagnostic = Diagnostic(
        code=POLICY_UNKNOWN,
        message="the repository's policy cannot be read, so this document is not taken over",
        path=file.path,
        line=document.line,
        column=1,
        help="correct the RepositoryPolicy",
    )
    return Judged(document.name, file.path, document.line, None, diagnostics=(*document.problems, diagnostic))


def _broken(
    files: Sequence[ParsedFile], verdicts: Sequence[Judged], problems: Sequence[Diagnostic]
) -> dict[str, tuple[Diagnostic, ...]]:
    """Return what is wrong with each file whose documents cannot be told."""
    broken = {file.path: file.diagnostics for file in files if file.unreadable}
    for verdict in verdicts if broken else ():
        if verdict.path in broken and verdict.name is None:
            broken[verdict.path] += verdict.diagnostics
    for problem in problems:
        broken[problem.path] = (*broken.get(problem.path, ()), problem)
    return broken
