"""Tiny pipelines that end in every way a run can end.

KFP reads the annotations of components, so they cannot be postponed here; it runs each component alone, so each imports
what it needs; and it has no types.
"""

# ruff: noqa: PLC0415, TRY301, PTH123, ARG001  as KFP wants its components written
# mypy: disable-error-code="untyped-decorator, no-any-return"

from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from reconciler.observed import Package


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def write(path: str, text: str) -> str:
    with open(path, "a") as file:
        file.write(text)
    return text


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def fail(reason: str) -> str:
    try:
        raise KeyError("the first error")
    except KeyError as error:
        raise ValueError(reason) from error


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def sleep(marker: str) -> str:
    import os
    import time

    with open(marker, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
    return marker


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def vanish() -> str:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    return ""


@dsl.pipeline(name="writes")
def writes(path: str, text: str = "done", number: int = 1, reconciler_claim: str = "") -> str:
    first = write(path=path, text=text)
    return write(path=path, text=reconciler_claim).after(first).output


@dsl.pipeline(name="fails")
def fails(reason: str) -> str:
    return fail(reason=reason).output


@dsl.pipeline(name="sleeps")
def sleeps(marker: str) -> str:
    return sleep(marker=marker).output


@dsl.pipeline(name="vanishes")
def vanishes() -> str:
    return vanish().output


def package(pipeline: Any, folder: Path) -> Package:
    """Compile a pipeline as a user does."""
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return Package(f"pipelines/{pipeline.name}.yaml", path.read_bytes())
