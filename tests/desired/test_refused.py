"""What is refused, and the exact words."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from reconciler.desired.render import render_all
from tests.desired.world import PIPELINE, model, policy, snapshot, state_of

SERVED = """
    serving:
      namespace: models
      predictor:
        model:
          modelFormat: {name: sklearn}
"""

# Each: one document, and the text that people see (without the line that counts).
RENDERED = {
    "a misspelt field": (
        model(spec="trainning: {}"),
        """\
error[unknown-field]: there is no field "trainning" in spec
 --> m.yaml:6:3
  |
6 |   trainning: {}
  |   ^^^^^^^^^
help: did you mean "training"?""",
    ),
    "a field at the wrong level": (
        model(spec="gates: []"),
        """\
error[unknown-field]: there is no field "gates" in spec
 --> m.yaml:6:3
  |
6 |   gates: []
  |   ^^^^^
help: it belongs at spec.promotion.gates""",
    ),
    "a field in snake_case": (
        model(spec="registered_model: x"),
        """\
error[unknown-field]: there is no field "registered_model" in spec
 --> m.yaml:6:3
  |
6 |   registered_model: x
  |   ^^^^^^^^^^^^^^^^
help: did you mean "registeredModel"?""",
    ),
    "canary steps that fall": (
        model(spec="rollout:\n  steps: [{traffic: 50, hold: 1m}, {traffic: 25, hold: 1m}]"),
        """\
error[rollout-steps]: canary steps must increase
 --> m.yaml:7:48
  |
7 |     steps: [{traffic: 50, hold: 1m}, {traffic: 25, hold: 1m}]
  |                                                ^^ 25 follows 50
help: order the steps: 25, 50""",
    ),
    "a rollout that could never be over in time": (
        model(spec="rollout:\n  steps: [{traffic: 50, hold: 2h}]\n  deadline: 90m"),
        """\
error[rollout-deadline]: the steps take 2h at least, holds and checks, and the rollout has to be over within 1h30m
 --> m.yaml:6:3
  |
6 |   rollout:
  |   ^^^^^^^
help: write deadline: 4h, so that a candidate may come up slowly, or hold shorter""",
    ),
    "a version that is a number": (
        model(spec="promotion: {version: 7}"),
        """\
error[not-text]: spec.promotion.version must be text, not a number
 --> m.yaml:6:24
  |
6 |   promotion: {version: 7}
  |                        ^
help: 7 without quotes is a number; quote it: "7\"""",
    ),
    "a value that YAML 1.1 takes for a bool": (
        model(spec="registeredModel: on"),
        """\
error[not-text]: spec.registeredModel must be text, not true or false
 --> m.yaml:6:20
  |
6 |   registeredModel: on
  |                    ^^
help: on without quotes is true in YAML 1.1; quote it: "on\"""",
    ),
    "a key that YAML 1.1 takes for a bool": (
        model(spec="on: true"),
        """\
error[yaml-key]: the key on without quotes is true in YAML 1.1, not text
 --> m.yaml:6:3
  |
6 |   on: true
  |   ^^
help: quote it: "on\"""",
    ),
    "a number that YAML 1.1 takes for text": (
        model(spec="promotion:\n  gates: [{metric: loss, max: 1e3}]"),
        """\
error[not-a-number]: spec.promotion.gates[0].max must be a number, not text
 --> m.yaml:7:33
  |
7 |     gates: [{metric: loss, max: 1e3}]
  |                                 ^^^
help: 1e3 is text in YAML 1.1, not a number: write 1.0e+3""",
    ),
    "a date": (
        model(spec="registeredModel: 2026-01-01"),
        """\
error[yaml-ambiguous]: 2026-01-01 is a date in YAML, and no field holds dates
 --> m.yaml:6:20
  |
6 |   registeredModel: 2026-01-01
  |                    ^^^^^^^^^^
help: quote it: "2026-01-01\"""",
    ),
    "a duplicate key": (
        model(spec="suspend: true\nsuspend: false"),
        """\
error[yaml-duplicate-key]: the key "suspend" is already given in line 6
 --> m.yaml:7:3
  |
7 |   suspend: false
  |   ^^^^^^^
help: keep one of the two""",
    ),
    "a gate with a misspelt kind speaks of that gate alone": (
        model(spec="promotion:\n  gates: [{metrik: accuracy, min: 0.9}]"),
        """\
error[unknown-field]: there is no field "metrik" in spec.promotion.gates[0]
 --> m.yaml:7:14
  |
7 |     gates: [{metrik: accuracy, min: 0.9}]
  |              ^^^^^^
help: did you mean "metric"?""",
    ),
    "a tag gate without its value": (
        model(spec="promotion:\n  gates: [{tag: approved}]"),
        """\
error[missing-field]: the field "equals" is missing in spec.promotion.gates[0]
 --> m.yaml:7:13
  |
7 |     gates: [{tag: approved}]
  |             ^^^^^^^^^^^^^^^
help: add equals: to spec.promotion.gates[0]""",
    ),
    "a choice that is none": (
        model(spec="rollout: {onFailure: rolback}"),
        """\
error[not-a-choice]: spec.rollout.onFailure must be "rollback" or "pause", not "rolback"
 --> m.yaml:6:24
  |
6 |   rollout: {onFailure: rolback}
  |                        ^^^^^^^
help: did you mean "rollback"?""",
    ),
    "a duration without a unit": (
        model(spec="rollout: {deadline: 90}"),
        """\
error[invalid-value]: not a duration: 90. Write a number with a unit, such as "250ms", "90s", "10m", "2h" or "30d"
 --> m.yaml:6:23
  |
6 |   rollout: {deadline: 90}
  |                       ^^
help: write "90s" or "1m30s\"""",
    ),
    "a duration whose number is quoted": (
        model(spec="rollout: {deadline: '600'}"),
        """\
error[invalid-value]: not a duration: '600'. Write a number with a unit, such as "250ms", "90s", "10m", "2h" or "30d"
 --> m.yaml:6:23
  |
6 |   rollout: {deadline: '600'}
  |                       ^^^^^
help: write "600s" or "10m\"""",
    ),
    "a hold without a unit": (
        model(spec="rollout:\n  steps: [{traffic: 10, hold: 30}]"),
        """\
error[invalid-value]: not a duration: 30. Write a number with a unit, such as "250ms", "90s", "10m", "2h" or "30d"
 --> m.yaml:7:33
  |
7 |     steps: [{traffic: 10, hold: 30}]
  |                                 ^^
help: write "30s\"""",
    ),
    "a kind that is none": (
        model().replace("kind: Model", "kind: Modle"),
        """\
error[unknown-kind]: kind Modle is not known
 --> m.yaml:2:7
  |
2 | kind: Modle
  |       ^^^^^
help: did you mean "Model"?""",
    ),
    "an apiVersion of another time": (
        model().replace("v1alpha1", "v2"),
        """\
error[unknown-api-version]: apiVersion reconciler.dev/v2 is not known
 --> m.yaml:1:13
  |
1 | apiVersion: reconciler.dev/v2
  |             ^^^^^^^^^^^^^^^^^
help: write apiVersion: reconciler.dev/v1alpha1""",
    ),
    "a model whose apiVersion is misspelt is not overlooked": (
        model().replace("reconciler.dev", "reconcilr.dev"),
        """\
error[unknown-api-version]: apiVersion reconcilr.dev/v1alpha1 is not known
 --> m.yaml:1:13
  |
1 | apiVersion: reconcilr.dev/v1alpha1
  |             ^^^^^^^^^^^^^^^^^^^^^^
help: write apiVersion: reconciler.dev/v1alpha1""",
    ),
    "a field that the registry decides": (
        model(spec=SERVED + "          storageUri: s3://x\n"),
        """\
error[reserved-field]: storageUri is not for people to set
  --> m.yaml:11:21
   |
11 |         storageUri: s3://x
   |                     ^^^^^^
help: leave it out: the registry decides it""",
    ),
    "a tab": (
        model().replace("  suspend", "\tsuspend"),
        """\
error[yaml-tab]: a tab indents this line
 --> m.yaml:6:1
  |
6 |  suspend: false
  | ^
help: YAML indents with spaces only""",
    ),
    "a file with a NUL byte": (
        model() + "# \0",
        """\
error[nul-byte]: the file holds a NUL byte
 --> m.yaml:7:3
  |
7 | #
  |   ^
help: a binary file does not belong here; remove it""",
    ),
}


@pytest.mark.parametrize("case", RENDERED)
def test_refused_document_is_shown_with_place_and_advice(case: str) -> None:
    text, expected = RENDERED[case]
    state = state_of({"m.yaml": text})
    assert render_all(state.diagnostics).rpartition("\n\n")[0] == expected
    assert not state.models


NAMED_BY = "training: {{kubeflowPipeline: {{package: {path}}}, parameters: {{{parameters}}}}}"

# Each: path of the package, parameters, and code and message.
PACKAGES = {
    "a package that is not there": ("p/none.yaml", "", "named-file", "there is no file p/none.yaml"),
    "an absolute path": ("/p.yaml", "", "named-file", "/p.yaml is absolute"),
    "a path that leads out": ("../p.yaml", "", "named-file", "../p.yaml is no plain path inside the repository"),
    "a package that is no pipeline": ("q.yaml", "", "not-a-pipeline", "it is no compiled KFP pipeline"),
    "a parameter that is not declared": ("p.yaml", "dept: 4", "unknown-parameter", "has no parameter dept"),
    "text for a number": ("p.yaml", "rate: 1e-3", "parameter-type", "rate must be a number"),
    "a number for text": ("p.yaml", "unit: 1.10", "parameter-type", "unit must be text"),
    "a bool for a number": ("p.yaml", "depth: yes", "parameter-type", "depth must be a whole number"),
    "a fraction for a whole number": ("p.yaml", "depth: 1.5", "parameter-type", "depth must be a whole number"),
}


@pytest.mark.parametrize("case", PACKAGES)
def test_package_and_parameters_agree(case: str) -> None:
    path, parameters, code, message = PACKAGES[case]
    document = model(spec=NAMED_BY.format(path=path, parameters=parameters))
    state = state_of({"m.yaml": document, "p.yaml": PIPELINE, "q.yaml": "a: 1"})
    (diagnostic,) = state.diagnostics
    assert (diagnostic.code, diagnostic.line, diagnostic.path) == (code, 6, "m.yaml")
    assert message in diagnostic.message
    assert diagnostic.help
    assert not state.models


@pytest.mark.parametrize("parameters", ["depth: 4", "depth: 4.0", "rate: 1", "rate: 1.0e-3", 'unit: "7"', "flag: on"])
def test_parameter_that_kfp_takes_is_taken(parameters: str) -> None:
    document = model(spec=NAMED_BY.format(path="p.yaml", parameters=parameters))
    state = state_of({"m.yaml": document, "p.yaml": PIPELINE})
    assert state.diagnostics == ()
    assert state.models["iris"].files == {"p.yaml": PIPELINE.encode()}


def test_parameter_without_a_value_is_asked_for() -> None:
    pipeline = PIPELINE.replace("defaultValue: cm", "description: of length")
    state = state_of({"m.yaml": model(spec=NAMED_BY.format(path="p.yaml", parameters="")), "p.yaml": pipeline})
    assert [d.message for d in state.diagnostics] == ["the pipeline needs the parameter unit"]


PROBES = {
    "no JSON": ("{", "it is not JSON"),
    "no rows": ('{"inputs": []}', "at least one row"),
    "fewer answers than rows": ('{"inputs": [[1], [2]], "expected": [1]}', "one answer for each row"),
    "more rows than are sent": (json.dumps({"inputs": 1001 * [[1]]}), '"inputs" has 1001 rows, and all are sent'),
    "no answers to compare with": ('{"inputs": [[1]]}', 'it has no "expected" answers'),
}


@pytest.mark.parametrize("case", PROBES)
def test_probe_inputs_are_checked(case: str) -> None:
    content, message = PROBES[case]
    spec = """
    rollout:
      analysis:
        - name: answers
          probe: {inputs: {file: rows.json}, agreement: {with: expected, min: 0.9}}
    """
    state = state_of({"m.yaml": model(spec=spec), "rows.json": content})
    (diagnostic,) = state.diagnostics
    assert (diagnostic.code, diagnostic.line, diagnostic.column) == ("probe-inputs", 9, 32)
    assert message in diagnostic.message


def test_namespace_must_be_allowed() -> None:
    files = {"m.yaml": model(spec=SERVED), "policy.yaml": policy("allowedNamespaces: [team-*]")}
    (diagnostic,) = state_of(files).diagnostics
    assert (diagnostic.code, diagnostic.line) == ("namespace-not-allowed", 7)
    assert diagnostic.help == "allowedNamespaces of the policy: team-*"


def test_error_in_a_default_points_into_the_policy() -> None:
    files = {"m.yaml": model(), "policy.yaml": policy("defaults:\n  rollout:\n    onFailure: stop")}
    (diagnostic,) = state_of(files).diagnostics
    assert (diagnostic.path, diagnostic.line, diagnostic.column) == ("policy.yaml", 8, 18)
    assert diagnostic.field == "spec.rollout.onFailure"


def test_every_error_of_a_document_is_shown_at_once() -> None:
    state = state_of({"m.yaml": model(spec="suspend: 1\nretention: {onRemoval: burn}\nx: 1")})
    assert [d.line for d in state.diagnostics] == [6, 7, 8]


def test_two_wrong_documents_in_one_file_each_show_their_own_line() -> None:
    state = state_of({"m.yaml": model("a", "x: 1") + "---\n" + model("b", "y: 1") + "---\n" + model("c")})
    assert [d.line for d in state.diagnostics] == [6, 13]
    assert list(state.models) == ["c"]


LIMITS = {
    "a file of more than 1 MiB": ("# " + "x" * 2**20 + "\n" + model(), "file-too-large"),
    "nesting deeper than 64": (model(spec="a: " + "[" * 70 + "]" * 70), "yaml-depth"),
    "blocks deeper than 64": (model() + "? " * 20_000, "yaml-depth"),
    "more than 100 aliases": (model(spec="a: &x [1]\nb: [" + "*x, " * 101 + "]"), "yaml-aliases"),
    "aliases that multiply": (
        model(spec="a: &a [1, 1]\n" + "\n".join(f"{y}: &{y} [*{x}, *{x}]" for x, y in pairwise("abcdefghij"))),
        "yaml-aliases",
    ),
    "merges that multiply": (
        model(spec="a: &a {k: 1}\nb:\n" + "\n".join("  - {<<: *a}" for _ in range(101))),
        "yaml-aliases",
    ),
    "an alias of itself": (model(spec="a: &a [*a]"), "yaml-depth"),
    "an alias of nothing": (model(spec="a: *a"), "yaml-syntax"),
    "an unknown tag": (model(spec="a: !!python/object:os.system x"), "yaml-tag"),
    "a number of 5000 digits": (model(spec="a: " + "9" * 5000), "yaml-ambiguous"),
    "an octal number": (model(spec="a: 0755"), "yaml-ambiguous"),
    "a number to the base of 60": (model(spec="a: 12:30"), "yaml-ambiguous"),
    "infinity": (model(spec="a: .inf"), "yaml-ambiguous"),
    "a mapping as a key": (model(spec="? {a: 1}\n: 1"), "yaml-key"),
    "an open bracket": (model(spec="a: [1, 2"), "yaml-syntax"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_limit_is_an_error_of_its_own_and_hides_nobody(case: str) -> None:
    text, code = LIMITS[case]
    state = state_of({"a.yaml": text, "b.yaml": model("other")})
    assert code in {d.code for d in state.diagnostics}
    assert all(d.path == "a.yaml" for d in state.diagnostics)
    assert list(state.models) == ["other"]


def test_a_byte_that_is_not_utf_8_is_named_with_its_place() -> None:
    (diagnostic,) = state_of({"a.yaml": model().encode() + b"# \xff", "b.yaml": model("other")}).diagnostics
    assert (diagnostic.code, diagnostic.line, diagnostic.column) == ("not-utf-8", 7, 3)


def test_byte_order_mark_does_not_shift_columns() -> None:
    (diagnostic,) = state_of({"m.yaml": b"\xef\xbb\xbf" + model().replace("v1alpha1", "v9").encode()}).diagnostics
    assert (diagnostic.line, diagnostic.column) == (1, 13)


IGNORED = {
    "a deployment": "apiVersion: apps/v1\nkind: Deployment\n",
    "a kustomization": "resources: [a.yaml]\n",
    "a compiled pipeline": PIPELINE,
    "a list": "- 1\n",
    "an empty file": "",
    "only a comment": "# nothing\n",
    "a Model of somebody else": "apiVersion: example.org/v1\nkind: Model\nspec: {}\n",
    "duplicate keys that are none of ours": "a: 1\na: 2\n",
}


@pytest.mark.parametrize("case", IGNORED)
def test_yaml_that_is_not_ours_is_left_alone(case: str) -> None:
    state = state_of({"a.yaml": IGNORED[case], "b.yaml": model()})
    assert state.diagnostics == ()
    assert list(state.models) == ["iris"]
    assert not state.unreadable


def test_broken_yaml_that_is_not_ours_is_a_warning() -> None:
    state = state_of({"chart.yaml": "a: {{ .Values.x }}: b\n", "b.yaml": model()})
    assert [d.severity.value for d in state.diagnostics] == ["warning"]
    assert not state.unreadable


def test_digests_of_a_snapshot_follow_the_bytes() -> None:
    one, two = snapshot({"a.yaml": "a"}), snapshot({"a.yaml": "b"})
    assert one.digest("a.yaml") != two.digest("a.yaml")
