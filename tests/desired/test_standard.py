"""What Standard mode cannot do is refused where it is written, with what to write instead."""

from __future__ import annotations

import pytest

from reconciler.desired.serving import LONGEST_STANDARD_NAME
from tests.desired.world import model, policy, state_of

NAME = "i" * LONGEST_STANDARD_NAME
SERVED = """\
serving:
  namespace: models
  mode: Standard
  predictor:
    minReplicas: 2
    model:
      modelFormat: {name: sklearn}
"""
CHECKED = (
    SERVED
    + """\
rollout:
  steps: [{traffic: 10, hold: 1m}]
  analysis:
    - {name: errors, prometheus: {template: error-rate, flavour: FLAVOUR, max: 0.01}}
"""
)


def checked(flavour: str, mode: str = "Standard") -> str:
    return model("iris", CHECKED.replace("FLAVOUR", flavour).replace("mode: Standard", f"mode: {mode}"))


# A document, the line of the one complaint, and what it says and advises.
REFUSED: dict[str, tuple[str, int, str, str]] = {
    "a name that leaves no room for the predictor's": (
        model(f"{NAME}i", SERVED), 4, "in Standard mode a name has at most 30 characters", "shorten it",
    ),
    "no replicas, of which a canary may not have more": (
        model("iris", SERVED.replace("minReplicas: 2", "minReplicas: 0")),
        10, "minReplicas is at least 1 in Standard mode", "write 1 or more",
    ),
    "a transformer": (
        model("iris", f"{SERVED}  transformer: {{containers: []}}"),
        13, "transformer cannot be used in Standard mode", "the shares of a canary pass it by",
    ),
    "an explainer": (
        model("iris", f"{SERVED}  explainer: {{containers: []}}"),
        13, "explainer cannot be used in Standard mode", "the shares of a canary pass it by",
    ),
    "a name of the predictor": (
        model("iris", SERVED.replace("minReplicas: 2", "name: mine")),
        10, "name cannot be used in Standard mode", "each release gets a predictor of its own name",
    ),
    "several nodes": (
        model("iris", SERVED.replace("minReplicas: 2", "workerSpec: {}")),
        10, "workerSpec cannot be used in Standard mode", "KServe makes no canary of several nodes",
    ),
    "several artifacts": (
        model("iris", SERVED.replace("minReplicas: 2", "storageUris: []")),
        10, "storageUris cannot be used in Standard mode", "KServe ignores them in a canary",
    ),
    "metrics of Knative": (
        checked("knative"), 16, "metrics of flavour knative come from Knative", "flavour: istio or kserve",
    ),
    "metrics of a newer Knative": (
        checked("knative-otel"), 16, "metrics of flavour knative-otel come from Knative", "flavour: istio or kserve",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_in_standard_mode_is_refused(what: str) -> None:
    text, line, message, advice = REFUSED[what]
    state = state_of({"m.yaml": text})
    (found,) = state.diagnostics
    assert (found.code, found.line) == ("standard-mode", line)
    assert message in found.message
    assert advice in (found.help or "")
    assert state.models == {}


TAKEN = {
    "the longest name": model(NAME, SERVED),
    "nothing said of replicas": model("iris", SERVED.replace("    minReplicas: 2\n", "")),
    "one replica": model("iris", SERVED.replace("minReplicas: 2", "minReplicas: 1")),
    "metrics of Istio": checked("istio"),
    "in Knative mode: a longer name": model(f"{NAME}i", SERVED.replace("Standard", "Knative")),
    "in Knative mode: no replicas": model("iris", SERVED.replace("Standard", "Knative").replace(": 2", ": 0")),
    "in Knative mode: its metrics": checked("knative", "Knative"),
    "a longer name that is not served": model(f"{NAME}i"),
}


@pytest.mark.parametrize("what", TAKEN)
def test_taken_is(what: str) -> None:
    state = state_of({"m.yaml": TAKEN[what]})
    assert state.diagnostics == ()
    assert len(state.models) == 1


def test_the_mode_of_a_policy_is_held_against_every_model_that_is_served() -> None:
    text = model(f"{NAME}i", SERVED.replace("  mode: Standard\n", ""))
    state = state_of({"policy.yaml": policy("defaults: {serving: {mode: Standard}}"), "m.yaml": text})
    assert [(d.code, d.path) for d in state.diagnostics] == [("standard-mode", "m.yaml")]
