"""Files of a repository: what a hostile commit may hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial

from reconciler.desired.parse import parse_file
from tests.desired.world import state_of

EXPECTED = ()
KIB = 1024
_HEAD = "apiVersion: reconciler.dev/v1alpha1\nkind: Model\nmetadata: {name: NAME}\nspec:\n"
_SERVED = "  serving:\n    namespace: models\n    predictor: {model: {modelFormat: {name: sklearn}}}\n"
_MERGES = b"a: &a {x: 1}\n" + b"".join(
    b"k%d: &b%d {<<: [%s]}\n" % (i, i, b",".join([b"*a" if i == 0 else b"*b%d" % (i - 1)] * 9)) for i in range(10)
)
_ALIASES = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 10)
)


def _spec(text: str, name: str = "a") -> bytes:
    return (_HEAD.replace("NAME", name) + text).encode()


def _many(text: str, count: int, kind: str = "Model") -> bytes:
    documents = (_HEAD.replace("NAME", f"a{i}").replace("Model", kind) + text for i in range(count))
    return "---\n".join(documents).encode()


def _policy(text: str) -> bytes:
    return _spec(text, "p").replace(b"kind: Model", b"kind: RepositoryPolicy")


def _pipeline(count: int) -> bytes:
    inputs = ",".join(f"p{i}: {{parameterType: STRING}}" for i in range(count))
    return f"pipelineInfo: {{}}\ncomponents: {{}}\ndeploymentSpec: {{}}\nroot: {{inputDefinitions: {{parameters: {{{inputs}}}}}}}".encode()  # noqa: E501  one line of YAML


FILES: Mapping[str, bytes] = {
    "no bytes at all": b"",
    "random bytes": os.urandom(200 * KIB),
    "a NUL in the middle": _spec("  suspend: \0true\n"),
    "an escaped NUL": _spec('  registeredModel: "\\0"\n'),
    "a byte order mark, twice": b"\xef\xbb\xbf\xef\xbb\xbf" + _spec("  suspend: true\n"),
    "UTF-16": _spec("  suspend: true\n").decode().encode("utf-16"),
    "an escaped lone surrogate": _spec('  registeredModel: "\\ud800"\n'),
    "a character beyond Unicode": _spec('  registeredModel: "\\U0011ffff"\n'),
    "escapes and overrides": _spec('  registeredModel: "\\e]0;x\\a\\u202e\\u2066"\n'),
    "a tag of bad bytes": _spec("  x: !%ff y\n"),
    "a tag of 200 KiB": _spec("  x: !" + "a" * 200 * KIB + " y\n"),
    "a directive of another YAML": b"%YAML 9.9\n---\n" + _spec("  suspend: true\n"),
    "lists nested without end": b"[" * 500 * KIB,
    "mappings nested without end": b"{a: " * 100 * KIB,
    "dashes nested without end": b"- " * 200 * KIB,
    "keys nested without end": b"? " * 200 * KIB,
    "an anchor that holds itself": _spec("  x: &x [*x]\n"),
    "an anchor that nobody set": _spec("  x: *nobody\n"),
    "60,000 anchors": _spec("  d:\n" + "".join(f"  - &a{i} x\n" for i in range(60_000))),
    "a billion laughs": _spec("  d: 1\n") + b"---\n" + _ALIASES,
    "a billion merges": _MERGES,
    "an octal number of 6,000 digits": _spec("  x: 0" + "7" * 6_000 + "\n"),
    "a number of a million digits": _spec("  x: " + "9" * 1_000_000 + "\n"),
    "a fraction of a million digits": _spec("  x: 1." + "9" * 1_000_000 + "\n"),
    "a binary number of a million digits": _spec("  x: 0b" + "1" * 1_000_000 + "\n"),
    "a number to the base of 60 without end": _spec("  x: 1" + ":59" * 300_000 + "\n"),
    "a name of a megabyte": _spec("  suspend: true\n", "a" * 1_000_000),
    "a scalar of a megabyte": _spec("  registeredModel: " + "a" * 1_000_000 + "\n"),
    "a key of a megabyte": _spec('  ? "' + "a" * 1_000_000 + '"\n  : 1\n'),
    "an apiVersion that nearly resembles ours": b"apiVersion: " + b"reconcile" * 100_000 + b"\nkind: Model\nspec: {}\n",
    "a kind that is a mapping of 20,000 keys": b"apiVersion: reconciler.dev/v1alpha1\nkind: {"
    + b",".join(b"k%d: 1" % i for i in range(20_000)) + b"}\nspec: {}\n",
    "20,000 duplicate keys": _spec("".join(f"  k{i}: 1\n" for i in range(10_000)) + "  k9999: 1\n" * 10_000),
    "20,000 dates": _spec("  d: [" + "2026-01-01," * 20_000 + "1]\n"),
    "20,000 keys that are numbers": _spec("  d: {" + "".join(f"{i}: 1," for i in range(20_000)) + "}\n"),
    "10,000 keys that are lists": _spec("".join(f"  ? [a{i}]\n  : 1\n" for i in range(10_000))),
    "5,000 documents of another version": b"apiVersion: reconciler.dev/v2\nkind: Model\n---\n" * 5_000,
    "1,500 models with an error each": _many("  x: 1\n", 1_500),
    "5,000 unknown fields": _spec("".join(f"  k{i}: 1\n" for i in range(5_000))),
    "10,000 gates without a kind": _spec("  promotion:\n    gates: [" + "{metrik: 1}," * 10_000 + "{metric: a}]\n"),
    "3,000 models of one name": "---\n".join([_HEAD.replace("NAME", "a") + "  suspend: true\n"] * 3_000).encode(),
    "3,000 policies": _many("  {}\n", 3_000, "RepositoryPolicy"),
    "3,000 checks of files that are not there": _spec(
        "  rollout:\n    analysis:\n"
        + "".join(f"    - {{name: c{i}, probe: {{inputs: {{file: x/{i}}}}}}}\n" for i in range(3_000))
    ),
    "a cron expression of 400 KiB": _spec("  training:\n    kubeflowPipeline: {package: {name: a, version: b}}\n"
        "    triggers: {schedule: '" + "0," * 200_000 + "0 * * * *'}\n"),
    "10,000 parameters that look like numbers": _spec(
        "  training:\n    kubeflowPipeline: {package: {name: a, version: b}}\n    parameters: {"
        + ",".join(f"q{i}: 1e3" for i in range(10_000)) + "}\n"
    ),
}  # fmt: skip

REPOSITORIES: Mapping[str, Mapping[str, bytes]] = {
    "a pattern of 200,000 stars": {
        "policy.yaml": _policy("  allowedNamespaces: ['" + "*a" * 200_000 + "b']\n"), "m.yaml": _spec(_SERVED),
    },
    "100,000 open brackets as a pattern": {
        "policy.yaml": _policy("  allowedNamespaces: ['" + "[a-" * 100_000 + "']\n"), "m.yaml": _spec(_SERVED),
    },
    "a thousand patterns that go back and forth": {
        "policy.yaml": _policy(
            "  allowedNamespaces: [" + ",".join("'" + "*a" * 40 + f"b{i}'" for i in range(1_000)) + "]\n"
        ),
        "m.yaml": _spec(_SERVED.replace("models", "a" * 40)),
    },
    "a pipeline of 5,000 parameters, all of them others": {
        "p.yaml": _pipeline(5_000),
        "m.yaml": _spec("  training:\n    kubeflowPipeline: {package: p.yaml}\n    parameters: {"
            + ",".join(f"q{i}: 1" for i in range(5_000)) + "}\n"),
    },
    "a pipeline nested without end": {
        "p.yaml": b"[" * 500_000, "m.yaml": _spec("  training:\n    kubeflowPipeline: {package: p.yaml}\n"),
    },
    "probe rows nested without end": {
        "p.json": b"[" * 500_000,
        "m.yaml": _spec("  rollout: {analysis: [{name: c, probe: {inputs: {file: p.json}}}]}\n"),
    },
    "probe rows with a number of a million digits": {
        "p.json": b'{"inputs": [' + b"9" * 1_000_000 + b"]}",
        "m.yaml": _spec("  rollout: {analysis: [{name: c, probe: {inputs: {file: p.json}}}]}\n"),
    },
    "a named file with a NUL, dots and backslashes": {
        "m.yaml": _spec('  rollout: {analysis: [{name: c, probe: {inputs: {file: "..\\\\..\\0/etc/passwd"}}}]}\n'),
    },
}  # fmt: skip


def _read(files: Mapping[str, bytes]) -> None:
    """Take a commit through everything that validating does; it must say something of every problem, and be short."""
    for path, data in files.items():
        parse_file(path, data)
    state = state_of(files)
    assert sum(len(d.message) + len(d.help) + len(d.source) for d in state.diagnostics) < 20 * KIB * KIB


CASES: Mapping[str, Callable[[], None]] = {
    **{name: partial(_read, {"m.yaml": data}) for name, data in FILES.items()},
    **{name: partial(_read, files) for name, files in REPOSITORIES.items()},
}
