"""What is applied for a release: nothing in it changes but the share, or KServe would make another revision."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.desired.serving import Serving
from reconciler.manifest import (
    deployed_name,
    inference_service,
    inherited,
    predictor_name,
    release_of,
    serving_fields,
    share_of,
    under_name,
)
from reconciler.observed import LABEL_RELEASE, ReleaseRecord
from reconciler.systems.serving.standard import COMPONENT_LABEL, SERVICE_LABEL, deployment_name

PREDICTOR: dict[str, Any] = {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}, "minReplicas": 1}
SERVING = Serving.model_validate({"namespace": "models", "predictor": PREDICTOR, "transformer": {"minReplicas": 2}})
PERCENTS = (None, 0, 10, 100)


def applied(percent: int | None, version: int = 3) -> dict[str, Any]:
    record = ReleaseRecord(release_of(version, SERVING), f"s3://models/{version}", serving_fields(SERVING))
    return inference_service("iris", record, percent)


@pytest.mark.parametrize("percent", PERCENTS)
def test_the_share_is_all_that_differs_between_two_steps(percent: int | None) -> None:
    manifest, at_nothing = applied(percent), applied(0)
    for one in (manifest, at_nothing):
        one["spec"]["predictor"].pop("canaryTrafficPercent", None)
    assert manifest == at_nothing


@pytest.mark.parametrize("percent", PERCENTS)
def test_every_apply_sends_the_whole_spec_that_we_own(percent: int | None) -> None:
    spec = applied(percent)["spec"]
    assert spec["predictor"]["model"] == {**PREDICTOR["model"], "storageUri": "s3://models/3"}
    assert spec["predictor"]["minReplicas"] == 1
    assert spec["transformer"] == {"minReplicas": 2}


def test_the_candidate_has_an_address_of_its_own_from_the_first_apply() -> None:
    assert applied(None)["metadata"]["annotations"]["serving.kserve.io/enable-tag-routing"] == "true"


def test_the_mode_is_written_by_its_new_name() -> None:
    assert applied(None)["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Knative"


def test_labels_and_annotations_of_the_object_say_nothing_that_changes_with_a_release() -> None:
    assert applied(0, 3)["metadata"] == applied(0, 4)["metadata"]


def test_the_release_stands_on_the_predictor_from_where_it_reaches_the_revision() -> None:
    assert applied(0)["spec"]["predictor"]["labels"][LABEL_RELEASE] == str(release_of(3, SERVING))


# Standard mode.


def standard(version: int, **predictor: Any) -> ReleaseRecord:
    fields = {"namespace": "models", "mode": "Standard", "predictor": {**PREDICTOR, **predictor}}
    serving = Serving.model_validate(fields)
    return ReleaseRecord(release_of(version, serving), f"s3://models/{version}", serving_fields(serving))


def canary_of(manifest: dict[str, Any]) -> dict[str, Any]:
    [canary] = manifest["spec"]["canary"]
    assert isinstance(canary, dict)
    return canary


def test_in_standard_mode_a_release_has_a_predictor_of_its_own_name_and_no_tag() -> None:
    record = standard(3)
    manifest = inference_service("iris", record, None)
    assert manifest["spec"]["predictor"]["name"] == f"v3-{record.release.template[:5]}"
    assert manifest["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert "serving.kserve.io/enable-tag-routing" not in manifest["metadata"]["annotations"]
    assert set(manifest["spec"]) == {"predictor"}
    assert share_of(manifest) is None


def test_in_standard_mode_the_stable_predictor_stays_as_it_is_beside_a_canary() -> None:
    alone = inference_service("iris", standard(3), None)["spec"]["predictor"]
    for percent in (0, 10, 100):
        beside = inference_service("iris", standard(4), percent, standard(3))
        assert beside["spec"]["predictor"] == alone
        assert share_of(beside) == canary_of(beside)["trafficPercent"] == percent


def test_in_standard_mode_a_canary_stands_beside_something() -> None:
    with pytest.raises(ValueError, match="beside nothing"):
        inference_service("iris", standard(4), 0)


def test_in_standard_mode_share_and_replicas_are_all_that_differs_between_two_steps() -> None:
    canaries = [canary_of(inference_service("iris", standard(4), percent, standard(3))) for percent in (0, 100)]
    for canary in canaries:
        del canary["trafficPercent"], canary["predictor"]["minReplicas"]
    assert canaries[0] == canaries[1]
    assert canaries[0]["predictor"]["labels"][LABEL_RELEASE] == str(standard(4).release)
    assert canaries[0]["predictor"]["model"]["storageUri"] == "s3://models/4"


# Replicas of the candidate's release and of stable's, the share, and those of the canary.
REPLICAS: dict[str, tuple[int | None, int | None, int, int]] = {
    "one at least at 0 %, where KServe would have none": (4, 4, 0, 1),
    "its share, rounded up": (4, 4, 30, 2),
    "all of its own at 100 %": (4, 4, 100, 4),
    "no more than stable has, as KServe refuses that": (8, 2, 100, 2),
    "no more than its own release asks for": (2, 8, 100, 2),
    "one where nothing is said": (None, None, 50, 1),
    "one where stable says nothing": (3, None, 100, 1),
}


@pytest.mark.parametrize("what", REPLICAS)
def test_a_canary_has(what: str) -> None:
    own, beside, percent, replicas = REPLICAS[what]
    stable, candidate = (standard(n) for n in (3, 4))
    for record, asked in ((stable, beside), (candidate, own)):
        predictor = record.serving["predictor"]
        predictor.pop("minReplicas")
        if asked is not None:
            predictor["minReplicas"] = asked
    canary = canary_of(inference_service("iris", candidate, percent, stable))
    assert canary["predictor"]["minReplicas"] == replicas


# Stable's replicas at least and at most, the pods that the canary is to have at 10 %, and what then is asked of stable.
MORE: dict[str, tuple[tuple[int, int | None], int, tuple[int, int | None]]] = {
    "as many as its share asks for": ((10, None), 1, (10, None)),
    "none in particular": ((10, None), 0, (10, None)),
    "more, which KServe takes off stable's": ((10, None), 5, (14, None)),
    "more than stable may have": ((10, 12), 5, (14, 14)),
    "no more than stable may have": ((10, 20), 5, (14, 20)),
    "more beside what has no most": ((10, 0), 5, (14, 0)),
}


@pytest.mark.parametrize("what", MORE)
def test_stable_keeps_its_pods_beside_a_canary_that_has(what: str) -> None:
    (least, most), pods, asked = MORE[what]
    more = {} if most is None else {"maxReplicas": most}
    stable = standard(3, minReplicas=least, **more)
    beside = inference_service("iris", standard(4, minReplicas=least), 10, stable, pods)
    assert canary_of(beside)["predictor"]["minReplicas"] == max(pods, 1)
    predictor = beside["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor.get("maxReplicas")) == asked
    assert share_of(beside) == 10


def test_a_canary_is_not_scaled_and_what_is_promoted_is() -> None:
    scaled = standard(4, maxReplicas=5, scaleTarget=10, scaleMetric="cpu", autoScaling={"metrics": []})
    fields = {"maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"}
    assert fields.isdisjoint(canary_of(inference_service("iris", scaled, 10, standard(3)))["predictor"])
    assert fields <= set(inference_service("iris", scaled, None)["spec"]["predictor"])


def test_a_canary_s_model_has_a_name_as_the_definition_asks_and_it_says_nothing() -> None:
    found = canary_of(inference_service("iris", standard(4), 10, standard(3)))["predictor"]["model"]
    assert found == {**PREDICTOR["model"], "storageUri": "s3://models/4", "name": ""}


NAMES = ["v3-aaaaa", "mine", "predictor", "", "v3-aaaaa-b"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("service", ["iris", "predictor", "a-b"])
def test_a_predictor_s_name_is_read_back_from_that_of_its_deployment(service: str, name: str) -> None:
    assert deployed_name(service, deployment_name(service, name)) == name


@pytest.mark.parametrize("name", NAMES)
def test_a_release_keeps_the_name_that_is_on_record(name: str) -> None:
    record = under_name(standard(3), name)
    assert predictor_name(record) == name
    assert record.release == standard(3).release
    assert inference_service("iris", record, None)["spec"]["predictor"].get("name", "") == name


@pytest.mark.parametrize("percent", [None, 0, 50])
def test_nothing_of_ours_has_the_labels_by_which_kserve_deletes(percent: int | None) -> None:
    manifest = inference_service("iris", standard(4), percent, standard(3))
    predictors = [manifest["spec"]["predictor"], *(c["predictor"] for c in manifest["spec"].get("canary", ()))]
    for labels in (manifest["metadata"]["labels"], *(predictor["labels"] for predictor in predictors)):
        assert {SERVICE_LABEL, COMPONENT_LABEL}.isdisjoint(labels)


MODEL = PREDICTOR["model"]
# Stable's predictor, the candidate's, and what a canary would inherit.
INHERITED: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "the same fields": ({"timeout": 60}, {"timeout": 60}, ()),
    "another value": ({"timeout": 60}, {"timeout": 90}, ()),
    "one more": ({}, {"timeout": 60}, ()),
    "a field that is left out": ({"timeout": 60, "serviceAccountName": "a"}, {}, ("serviceAccountName", "timeout")),
    "a field that is set to nothing, which unsets nothing": ({"timeout": 60}, {"timeout": 0}, ("timeout",)),
    "a field that was nothing": ({"serviceAccountName": "", "tolerations": []}, {}, ()),
    "a field below": (
        {"model": {**MODEL, "runtime": "mine"}, "labels": {"a": "1", "b": "1"}},
        {"labels": {"b": "2"}},
        ("labels.a", "model.runtime"),
    ),
    "a list that is another one": ({"tolerations": [1, 2]}, {"tolerations": [2]}, ()),
    "what no canary has, and replicas and name": (
        {"maxReplicas": 3, "scaleTarget": 1, "scaleMetric": "cpu", "autoScaling": {"a": 1}, "name": "v1"},
        {"minReplicas": 0},
        (),
    ),
}


@pytest.mark.parametrize("what", INHERITED)
def test_a_canary_inherits_what_is_left_out_of(what: str) -> None:
    stable, candidate, left = INHERITED[what]
    assert inherited({**PREDICTOR, **stable}, {**PREDICTOR, **candidate}) == left
