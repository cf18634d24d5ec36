"""What a check measures, as a short name: two measurements are of one kind only if they asked the same. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from reconciler.desired.checks import Check, InputFile, JobCheck, ProbeCheck, PrometheusCheck
from reconciler.desired.digest import digest
from reconciler.desired.duration import format_duration


def question_of(check: Check, files: Mapping[str, bytes]) -> str:
    """Stand for what a check measures; its limits, its pace and its name are no part of it.

    `files` are those of the repository that the spec names.
    """
    if check.prometheus is not None:
        return digest(["prometheus", _metrics(check.prometheus)])
    if check.probe is not None:
        return digest(["probe", _probe(check.probe, files)])
    return digest(["job", _job(check.job)] if check.job is not None else [])


def _metrics(asked: PrometheusCheck) -> list[str | None]:
    # A template is what it asks, so that measurements of an older release that asked otherwise do not count.
    return [asked.value_query, asked.count_query, format_duration(asked.window)]


def _probe(asked: ProbeCheck, files: Mapping[str, bytes]) -> list[Any]:
    inputs = asked.inputs.content()
    if isinstance(asked.inputs, InputFile):
        inputs["digest"] = hashlib.sha256(files.get(asked.inputs.file, b"")).hexdigest()
    compared = {k: v for k, v in asked.agreement.content().items() if k != "min"} if asked.agreement else None
    return [inputs, asked.requests, compared, asked.schema_]


def _job(asked: JobCheck) -> list[Any]:
    return [asked.image, asked.command, asked.args, asked.env]
