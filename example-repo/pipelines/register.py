"""The last step of every pipeline here: put what was trained into MLflow, once."""

import os

from kfp import dsl

# The local runner ignores the image; on a cluster it must hold Python, kfp, scikit-learn and mlflow.
IMAGE = os.environ.get("PIPELINE_IMAGE", "python:3.11")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    model: dsl.Input[dsl.Model],
    holdout: dsl.Input[dsl.Dataset],
    scores: dict,
    registered_model: str,
    tracking_uri: str,
    training_key: str,
    claim: str,
) -> str:
    """Log the model with its metrics and register it; a version that already has the key is left alone."""
    import os
    from importlib.metadata import version as version_of

    # The client repeats requests whose answer was lost; more than a few would outlive any patience.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")

    import joblib
    import mlflow
    import numpy
    from mlflow.models import infer_signature

    if tracking_uri:
        mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient()
    tags = {}
    if training_key:
        tags["reconciler.dev/training-key"] = training_key
        known = client.search_model_versions(
            f"name = '{registered_model}' and tags.`reconciler.dev/training-key` = '{training_key}'"
        )
        if known:
            print(f"{registered_model} version {known[0].version} already has this training key: nothing to register")
            return str(known[0].version)
    if claim:
        tags["reconciler.dev/claim"] = claim

    rows = numpy.loadtxt(holdout.path, delimiter=",")
    example = rows[:5, :-1]
    estimator = joblib.load(model.path)
    mlflow.set_experiment(registered_model)
    with mlflow.start_run(tags=tags) as run:
        mlflow.log_params(dict(model.metadata))
        mlflow.log_metrics(scores)
        logged = mlflow.sklearn.log_model(
            estimator,
            name="model",
            signature=infer_signature(example, estimator.predict(example)),
            input_example=example,
            # The forest of the step before: skops asks to be told that its trees may be loaded.
            skops_trusted_types=["sklearn.tree._tree.Tree"],
            # Named here, because finding them out loads the model in another process and takes ten seconds.
            pip_requirements=[f"{name}=={version_of(name)}" for name in ("mlflow", "scikit-learn", "numpy", "skops")],
        )

    # A repeated POST would register a second version: this one call is sent once.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    made = mlflow.register_model(logged.model_uri, registered_model, tags=tags, await_registration_for=0)
    print(f"registered {registered_model} version {made.version} from run {run.info.run_id}")
    return str(made.version)
