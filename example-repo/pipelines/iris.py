"""Iris: classify a flower by four lengths. load -> train -> evaluate -> register.

`python compile.py` turns this into iris.yaml, which is what the reconciler runs.
"""

from kfp import dsl
from register import IMAGE, register


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def load(unit: str, training: dsl.Output[dsl.Dataset], holdout: dsl.Output[dsl.Dataset]):
    """Write 100 flowers to train on and 50 held out, lengths in `unit`, the class in the last column."""
    import numpy
    from sklearn.datasets import load_iris
    from sklearn.model_selection import train_test_split

    scale = {"cm": 1.0, "mm": 10.0}
    if unit not in scale:
        raise ValueError(f"unit is {unit!r}, expected one of {', '.join(scale)}")
    features, classes = load_iris(return_X_y=True)
    rows = numpy.column_stack([features * scale[unit], classes])
    train, test = train_test_split(rows, test_size=50, random_state=0, stratify=classes)
    numpy.savetxt(training.path, train, delimiter=",", fmt="%g")
    numpy.savetxt(holdout.path, test, delimiter=",", fmt="%g")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(training: dsl.Input[dsl.Dataset], n_estimators: int, max_depth: int, unit: str, model: dsl.Output[dsl.Model]):
    """Fit a random forest."""
    import joblib
    import numpy
    from sklearn.ensemble import RandomForestClassifier

    rows = numpy.loadtxt(training.path, delimiter=",")
    forest = RandomForestClassifier(n_estimators=n_estimators, max_depth=max_depth, random_state=0)
    forest.fit(rows[:, :-1], rows[:, -1].astype(int))
    joblib.dump(forest, model.path)
    # As text: numbers come out of artifact metadata as floats.
    model.metadata.update(n_estimators=str(n_estimators), max_depth=str(max_depth), unit=unit)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(model: dsl.Input[dsl.Model], holdout: dsl.Input[dsl.Dataset]) -> dict:
    """Measure accuracy and macro F1 on the flowers held out."""
    import joblib
    import numpy
    from sklearn.metrics import accuracy_score, f1_score

    rows = numpy.loadtxt(holdout.path, delimiter=",")
    classes = rows[:, -1].astype(int)
    answers = joblib.load(model.path).predict(rows[:, :-1])
    scores = {
        "accuracy": float(accuracy_score(classes, answers)),
        "f1_score": float(f1_score(classes, answers, average="macro")),
    }
    print(scores)
    return scores


@dsl.pipeline(name="iris", description="A random forest for the iris data set.")
def iris(
    n_estimators: int = 50,
    max_depth: int = 4,
    unit: str = "cm",
    reconciler_training_key: str = "",
    reconciler_registered_model: str = "iris",
    reconciler_mlflow_tracking_uri: str = "",
    reconciler_claim: str = "",
) -> str:
    """Train iris and register it."""
    data = load(unit=unit)
    trained = train(
        training=data.outputs["training"], n_estimators=n_estimators, max_depth=max_depth, unit=unit
    )
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
