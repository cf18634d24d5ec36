"""Diabetes: how far the disease has progressed after a year, from ten measurements at the start.

load -> train -> evaluate -> register. `python compile.py` turns this into diabetes.yaml, which is what the
reconciler runs.
"""

from kfp import dsl
from register import IMAGE, register


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def load(training: dsl.Output[dsl.Dataset], holdout: dsl.Output[dsl.Dataset]):
    """Write 342 patients to train on and 100 held out, in the units of the clinic, the target in the last column."""
    import numpy
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    rows = numpy.column_stack(load_diabetes(return_X_y=True, scaled=False))
    train, test = train_test_split(rows, test_size=100, random_state=0)
    numpy.savetxt(training.path, train, delimiter=",", fmt="%g")
    numpy.savetxt(holdout.path, test, delimiter=",", fmt="%g")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(training: dsl.Input[dsl.Dataset], alpha: float, model: dsl.Output[dsl.Model]):
    """Fit a ridge regression on standardised measurements."""
    import joblib
    import numpy
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = numpy.loadtxt(training.path, delimiter=",")
    ridge = make_pipeline(StandardScaler(), Ridge(alpha=alpha))
    ridge.fit(rows[:, :-1], rows[:, -1])
    joblib.dump(ridge, model.path)
    model.metadata.update(alpha=str(alpha))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(model: dsl.Input[dsl.Model], holdout: dsl.Input[dsl.Dataset]) -> dict:
    """Measure the root mean squared error and R² on the patients held out."""
    import joblib
    import numpy
    from sklearn.metrics import r2_score, root_mean_squared_error

    rows = numpy.loadtxt(holdout.path, delimiter=",")
    answers = joblib.load(model.path).predict(rows[:, :-1])
    scores = {
        "rmse": float(root_mean_squared_error(rows[:, -1], answers)),
        "r2": float(r2_score(rows[:, -1], answers)),
    }
    print(scores)
    return scores


@dsl.pipeline(name="diabetes", description="A ridge regression for the diabetes data set.")
def diabetes(
    alpha: float = 1.0,
    reconciler_training_key: str = "",
    reconciler_registered_model: str = "diabetes",
    reconciler_mlflow_tracking_uri: str = "",
    reconciler_claim: str = "",
) -> str:
    """Train diabetes and register it."""
    data = load()
    trained = train(training=data.outputs["training"], alpha=alpha)
    scores = evaluate(model=trained.outputs["model"], holdout=data.outputs["holdout"])
    return register(
        model=trained.outputs["model"],
        holdout=data.outputs["holdout"],
        scores=scores.output,
        registered_model=reconciler_registered_model,
        tracking_uri=reconciler_mlflow_tracking_uri,
        training_key=reconciler_training_key,
        claim=reconciler_claim,
    ).output
