"""What is applied for a release: nothing in it changes but the share, or KServe would make another revision."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.desired.documents import Serving
from reconciler.manifest import inference_service, release_of, serving_fields
from reconciler.observed import LABEL_RELEASE, ReleaseRecord

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
