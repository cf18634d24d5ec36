"""One Model document under one policy: the spec, or what is wrong with it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice

from pydantic import ValidationError

from reconciler.desired.base import Document
from reconciler.desired.checks import MOST_REQUESTS, InputFile
from reconciler.desired.defaults import lay_under
from reconciler.desired.documents import Model, ModelSpec, PolicySpec, RepositoryPolicy
from reconciler.desired.explain import Origin, explain
from reconciler.desired.files import Digest, FileProblem
from reconciler.desired.pipeline import Mismatch, NotAPipeline, Parameter, mismatches
from reconciler.desired.state import Diagnostic, Severity
from reconciler.desired.yaml_nodes import FieldPath
from reconciler.desired.yaml_scalars import explain as explain_scalar
from reconciler.desired.yaml_scalars import is_text_that_looks_like_a_number

# Of each kind and document: nobody reads more, and each one is looked up in the file.
_MOST_REPORTED = 50
_SECTIONS = ("training", "promotion", "serving", "rollout", "retention")


@dataclass(frozen=True, slots=True)
class Rules:
    """The policy in force: `origin` is its document, None where the repository has none."""

    spec: PolicySpec
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A document's verdict: with a spec it is valid; `files` are the bytes of the files that it names.

    `digests` are the named files as they were found, None where one could not be used.
    """

    name: str | None
    path: str
    line: int
    spec: ModelSpec | None
    labels: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    digests: tuple[tuple[str, Digest | None], ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """Access to files that documents name. All raise FileProblem; `pipeline` also NotAPipeline.

    `share` returns the section that was given before with the same text, so that equal ones are kept once.
    """

    digest: Callable[[str], Digest]
    read: Callable[[str, Digest], bytes]
    pipeline: Callable[[str, Digest], Mapping[str, Parameter]]
    share: Callable[[str, Document], Document]


def judge_policy(origin: Origin) -> tuple[PolicySpec | None, tuple[Diagnostic, ...]]:
    """Validate a RepositoryPolicy; None with diagnostics when it cannot be used."""
    if origin.document.problems:
        return None, origin.document.problems
    try:
        policy = RepositoryPolicy.model_validate(origin.document.value(), by_alias=True, by_name=False)
    except ValidationError as error:
        return None, explain(error, RepositoryPolicy, origin)
    return policy.spec, ()


def judge(origin: Origin, rules: Rules, named: Named) -> Judged:
    """Validate a Model document under the policy, and read the files that it names."""
    document = origin.document
    refused = Judged(document.name, origin.file.path, document.line, None)
    if document.problems:
        return _with(refused, document.problems)
    value = document.value()
    if isinstance(value.get("spec"), dict):
        value["spec"] = lay_under(rules.spec.defaults, value["spec"])
    try:
        model = Model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        return _with(refused, explain(error, Model, origin))
    spec = _shared(model.spec, value["spec"], named)
    reader = _Files(origin, named)
    diagnostics = (*_check_namespace(spec, rules, origin), *reader.check(spec))
    failed = any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    return Judged(
        document.name,
        origin.file.path,
        document.line,
        None if failed else spec,
        model.metadata.labels,
        reader.files,
        tuple(reader.digests.items()),
        diagnostics,
    )


def _shared(spec: ModelSpec, raw: Mapping[str, object], named: Named) -> ModelSpec:
    """Thousands of models say the same in most sections; one object for all of them halves the memory."""
    update: dict[str, Document] = {}
    for name in _SECTIONS:
        section = getattr(spec, name)
        if isinstance(section, Document) and name in raw:
            text = f"{name}{json.dumps(raw[name], separators=(',', ':'), sort_keys=True)}"
            update[name] = named.share(text, section)
    return spec.model_copy(update=update)


def _with(refused: Judged, diagnostics: tuple[Diagnostic, ...]) -> Judged:
    return Judged(refused.name, refused.path, refused.line, None, diagnostics=diagnostics)


def _check_namespace(spec: ModelSpec, rules: Rules, origin: Origin) -> Iterator[Diagnostic]:
    allowed = rules.spec.allowed_namespaces
    if spec.serving and not any(fnmatchcase(spec.serving.namespace, pattern) for pattern in allowed):
        yield origin.report(
            "namespace-not-allowed",
            f"the policy does not allow the namespace {spec.serving.namespace}",
            ("spec", "serving", "namespace"),
            advice=f"allowedNamespaces of the policy: {', '.join(allowed) or 'none'}",
        )


class _Files:
    """Reads and checks what one document names; collects bytes and digests on the way."""

    def __init__(self, origin: Origin, named: Named) -> None:
        self._origin = origin
        self._named = named
        self.files: dict[str, bytes] = {}
        self.digests: dict[str, Digest | None] = {}

    def check(self, spec: ModelSpec) -> Iterator[Diagnostic]:
        yield from self._training(spec)
        for index, check in enumerate(spec.rollout.analysis):
            if check.probe is not None and isinstance(check.probe.inputs, InputFile):
                agreement = check.probe.agreement
                at = ("spec", "rollout", "analysis", index, "probe", "inputs", "file")
                expects = agreement is not None and agreement.with_ == "expected"
                yield from self._probe_inputs(check.probe.inputs.file, at, expects)

    def _read(self, path: str, at: FieldPath) -> Iterator[Diagnostic]:
        self.digests[path] = None
        try:
            digest = self._named.digest(path)
            self.files[path] = self._named.read(path, digest)
            self.digests[path] = digest
        except FileProblem as problem:
            yield self._origin.report("named-file", str(problem), at, advice=problem.advice)

    def _training(self, spec: ModelSpec) -> Iterator[Diagnostic]:
        if spec.training is None:
            return
        package = spec.training.kubeflow_pipeline.package
        if not isinstance(package, str):
            yield from islice(self._untyped(spec.training.parameters), _MOST_REPORTED)
            return
        at = ("spec", "training", "kubeflowPipeline", "package")
        yield from self._read(package, at)
        digest = self.digests[package]
        if digest is None:
            return
        try:
            declared = self._named.pipeline(package, digest)
        except NotAPipeline as error:
            yield self._origin.report("not-a-pipeline", f"{package}: {error}", at, advice=error.advice)
            return
        for mismatch in islice(mismatches(spec.training.parameters, declared), _MOST_REPORTED):
            yield self._mismatch(mismatch, declared)

    def _mismatch(self, mismatch: Mismatch, declared: Mapping[str, Parameter]) -> Diagnostic:
        field = ("spec", "training", "parameters", *([mismatch.name] if mismatch.name else []))
        if mismatch.code == "unknown-parameter" and mismatch.name:
            close = difflib.get_close_matches(mismatch.name, declared, 1)
            advice = f'did you mean "{close[0]}"?' if close else f"it has {', '.join(declared) or 'none at all'}"
            return self._origin.report_key(mismatch.code, mismatch.message, field, advice)
        text = self._origin.find(field)[1].text
        advice = explain_scalar(text) if text is not None and mismatch.name else ""
        return self._origin.report(mismatch.code, mismatch.message, field, advice=advice)

    def _untyped(self, parameters: Mapping[str, object]) -> Iterator[Diagnostic]:
        for name, value in parameters.items():
            field = ("spec", "training", "parameters", name)
            if not isinstance(value, str) or not is_text_that_looks_like_a_number(value):
                continue
            if self._origin.find(field)[1].text is not None:
                message = f"the parameter {name} is text"
                yield self._origin.report(
                    "looks-like-a-number", message, field, advice=explain_scalar(value), severity=Severity.WARNING
                )

    def _probe_inputs(self, path: str, at: FieldPath, expects: bool) -> Iterator[Diagnostic]:
        yield from self._read(path, at)
        if path in self.files:
            wrong = wrong_with_probe_inputs(self.files[path])
            if not wrong and expects and b'"expected"' not in self.files[path]:
                wrong = 'it has no "expected" answers, and the check compares with them'
            if wrong:
                example = 'write {"inputs": [[1.0, 2.0]], "expected": [0]}'
                yield self._origin.report("probe-inputs", f"{path}: {wrong}", at, advice=example)


def wrong_with_probe_inputs(data: bytes) -> str:
    """Say what is wrong with a file of probe inputs, "" if nothing is."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    if not isinstance(value, dict) or not isinstance(value.get("inputs"), list) or not value["inputs"]:
        return 'it needs a list of "inputs" with at least one row'
    if len(value["inputs"]) > MOST_REQUESTS:
        return f'"inputs" has {len(value["inputs"])} rows, and all are sent each interval: at most {MOST_REQUESTS}'
    expected = value.get("expected")
    if expected is None:
        return ""
    if not isinstance(expected, list) or len(expected) != len(value["inputs"]):
        return '"expected" needs one answer for each row of "inputs"'
    return ""
