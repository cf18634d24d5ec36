"""The checks of a rollout's analysis, as pydantic models."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, Tag, field_validator, model_validator

from reconciler.desired.base import UNION_PREFIX, Count, Document, Flag, Name, Number, by_key, refusal
from reconciler.desired.duration import Duration, parse_duration
from reconciler.desired.queries import (
    Flavour,
    TemplateName,
    can_tell,
    longest_told,
    samples_query,
    template_query,
    unresolvable,
)

_LONGEST_QUERY = 10_000
MOST_REQUESTS = 1000
"""To each side, each interval: so many rows may a file of inputs have."""
SHORTEST = parse_duration("1s")
"""Of an interval and of a window: no system is asked more often, and none scrapes more often."""


class InputExample(Document):
    """Probe with the input example that was logged with the model."""

    from_: Literal["inputExample"] = Field(alias="from")


class InputFile(Document):
    """Probe with rows from a file of the repository: {"inputs": [[...]], "expected": [...]}."""

    file: str = Field(min_length=1)


class Agreement(Document):
    """How many answers must agree with the stable version's, or with the expected ones."""

    with_: Literal["stable", "expected"] = Field(alias="with")
    min: Number = Field(gt=0, le=1)
    tolerance: Number = Field(default=0, ge=0, description="Allowed relative difference of numbers.")
    absolute_tolerance: Number = Field(
        default=0, ge=0, description="Allowed difference of numbers, where the relative one is larger."
    )


class ProbeCheck(Document):
    """Send real requests to candidate and stable and compare."""

    inputs: Annotated[
        Annotated[InputExample, Tag(UNION_PREFIX + "from")] | Annotated[InputFile, Tag(UNION_PREFIX + "file")],
        by_key("from", "file"),
    ]
    requests: Count = Field(
        default=20,
        ge=1,
        le=MOST_REQUESTS,
        description="To each side, each interval; a file with more rows is sent as a whole all the same.",
    )
    max_error_rate: Number = Field(default=0.01, ge=0, le=1)
    max_latency_p95: Duration | None = None
    max_latency_increase: Number | None = Field(
        default=None,
        ge=0,
        description="Of the 95th percentile against stable, relative: 0.5 is +50 %.",
    )
    agreement: Agreement | None = None
    schema_: Literal["stable"] | None = Field(
        default=None, alias="schema", description="Answers have stable's JSON types, keys and lengths, all of them."
    )


class Increase(Document):
    """How far the candidate's value may be above stable's; one of the two."""

    relative: Number | None = Field(default=None, ge=0, description="0.5 allows +50 %; of nothing, nothing is allowed.")
    absolute: Number | None = Field(default=None, ge=0, description="In the query's own unit.")

    @model_validator(mode="after")
    def _one_way(self) -> Increase:
        if (self.relative is None) == (self.absolute is None):
            raise ValueError("maxIncrease needs either `relative` or `absolute`, such as {relative: 0.2}")
        return self


class PrometheusCheck(Document):
    """Ask Prometheus the same of candidate and stable, over the same window."""

    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=_LONGEST_QUERY,
        description="PromQL with variables such as {{revision}}, whose answer is one number; or else a template.",
    )
    template: TemplateName | None = None
    flavour: Flavour | None = Field(default=None, description="Whose metrics a template reads.")
    window: Duration = Field(default=parse_duration("2m"), description="Fills in {{window}}; 1s at least.")
    samples: str | None = Field(
        default=None,
        min_length=1,
        max_length=_LONGEST_QUERY,
        description="PromQL that counts the requests of a window, for minSamples; templates have their own.",
    )
    max: Number | None = Field(default=None, description="Shares for error-rate, seconds for latencies.")
    min: Number | None = None
    max_increase: Increase | None = Field(default=None, description="Above the stable version.")

    @field_validator("window")
    @classmethod
    def _spans_a_scrape(cls, window: timedelta) -> timedelta:
        if window < SHORTEST:
            raise refusal("query-window", "a window spans 1s at least", advice="let it span four scrapes, such as 2m")
        return window

    @model_validator(mode="after")
    def _one_question(self) -> PrometheusCheck:
        if (self.query is None) == (self.template is None):
            raise ValueError("a prometheus check needs either `query` or `template`")
        if self.template is not None and self.flavour is None:
            raise ValueError("a template needs a flavour: knative, knative-otel, istio or kserve")
        if self.query is not None and self.flavour is not None:
            raise ValueError("a flavour chooses a template's metrics; a query names its own")
        if self.template is not None and self.samples is not None:
            raise ValueError("a template counts its requests by itself; leave `samples` out")
        if self.max is None and self.min is None and self.max_increase is None:
            raise ValueError("a prometheus check needs a limit: max, min or maxIncrease")
        return self

    @model_validator(mode="after")
    def _limits_leave_room(self) -> PrometheusCheck:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"nothing is at least {self.min:g} and at most {self.max:g}")
        return self

    @model_validator(mode="after")
    def _has_what_it_asks_for(self) -> PrometheusCheck:
        if self.template and self.flavour and not can_tell(self.template, self.flavour):
            raise refusal(
                "no-such-metric",
                f"the metrics of {self.flavour} have no {self.template}: they do not tell failed requests",
                at=("template",),
                advice="choose the flavour of what routes to it (knative, knative-otel, istio), or another template",
            )
        return self

    @model_validator(mode="after")
    def _limit_can_be_exceeded(self) -> PrometheusCheck:
        top = self.longest_told
        if top is not None and self.max is not None and self.max >= top:
            raise refusal(
                "beyond-histogram",
                f"the histograms of {self.flavour} end at {top:g} s: no value is ever above {self.max:g}",
                at=("max",),
                advice=f"a latency's max is in seconds: write less than {top:g}, or a query of your own",
            )
        return self

    @model_validator(mode="after")
    def _limit_is_a_share(self) -> PrometheusCheck:
        for field, limit in (("max", self.max), ("min", self.min)):
            if self.template == "error-rate" and limit is not None and not 0 <= limit <= 1:
                percent = f"{limit:g} % is {limit / 100:g}" if 1 < limit <= 100 else "1 % is 0.01"
                raise refusal(
                    "not-a-share",
                    f"error-rate is a share of requests, between 0 and 1: it is never {_beyond(limit)}",
                    at=(field,),
                    advice=f"write a share: {percent}",
                )
        return self

    @model_validator(mode="after")
    def _variables_are_known(self) -> PrometheusCheck:
        for field, query in (("query", self.query), ("samples", self.samples)):
            wrong = unresolvable(query) if query else None
            if wrong is not None:
                found = f"{{{{{wrong.found}}}}}"
                what = f"there is no variable {found}" if wrong.found else "a variable is not well written"
                raise refusal("query-variable", what, at=(field,), advice=wrong.help)
        return self

    @property
    def longest_told(self) -> float | None:
        """Return the latency that stands for all longer ones, None where there is none."""
        if self.template is None or self.flavour is None:
            return None
        return longest_told(self.template, self.flavour)

    @property
    def first_window(self) -> timedelta:
        """Return the shortest window that it may be asked over.

        A template answers shares, quantiles and rates, which mean the same over any; what a query of one's own means
        over another window only its author knows.
        """
        return SHORTEST if self.template is not None else self.window

    @property
    def value_query(self) -> str:
        """Return the query of the value, its variables not yet filled in."""
        if self.template is not None and self.flavour is not None:
            return template_query(self.template, self.flavour)
        return self.query or ""

    @property
    def count_query(self) -> str | None:
        """Return the query that counts requests, None where nobody counts them."""
        return samples_query(self.flavour) if self.flavour is not None else self.samples


def _beyond(limit: float) -> str:
    return f"above {limit:g}" if limit > 1 else f"{limit:g} or less"


class JobCheck(Document):
    """Run a Job once a step; exit code 0 passes, any other fails.

    It is given CANDIDATE_URL, STABLE_URL, MODEL, VERSION and NAMESPACE in its environment.
    """

    image: str = Field(min_length=1)
    command: tuple[str, ...] = Field(default=(), max_length=100)
    args: tuple[str, ...] = Field(default=(), max_length=100)
    env: dict[str, str] = Field(default_factory=dict)
    timeout: Duration = Field(default=parse_duration("10m"), description="A job that takes longer is an error.")


class Check(Document):
    """One analysis of the canary, repeated while it runs; exactly one kind."""

    name: Name
    probe: ProbeCheck | None = None
    prometheus: PrometheusCheck | None = None
    job: JobCheck | None = None
    interval: Duration = parse_duration("30s")
    initial_delay: Duration = Field(
        default=parse_duration("0s"), description="After the begin of each step, before the first measurement."
    )
    min_samples: Count | None = Field(
        default=None,
        ge=1,
        description="Fewer samples hold the step, until the rollout's deadline; default: 20 requests. "
        "Where a query has nobody who counts requests these are measurements; default: 1.",
    )
    failure_limit: Count = Field(default=0, ge=0, description="So many failed measurements of a step are let pass.")
    error_limit: Count = Field(
        default=4, ge=0, description="One more measurement in a row that cannot be made counts as a failed check."
    )
    dry_run: Flag = Field(default=False, description="Only reports; neither holds a step nor rolls back.")

    @property
    def samples_needed(self) -> int:
        """Return how many samples a verdict needs."""
        if self.min_samples is not None:
            return self.min_samples
        uncounted = self.prometheus is not None and self.prometheus.count_query is None
        return 1 if uncounted or self.job is not None else 20

    @property
    def first_after(self) -> timedelta:
        """Return how long after a step's begin it is first made.

        A query looks back: it waits until the step has lasted as long, or an interval where it may look back less far.
        """
        metrics = self.prometheus
        if metrics is None:
            return self.initial_delay
        return max(self.initial_delay, min(metrics.window, max(metrics.first_window, self.interval)))

    @property
    def passes_after(self) -> timedelta:
        """Return how long a step lasts at least before it may pass."""
        return self.first_after + (self._least_measurements - 1) * self.interval

    @property
    def _least_measurements(self) -> int:
        if self.probe is not None and isinstance(self.probe.inputs, InputExample):
            return math.ceil(self.samples_needed / self.probe.requests)
        return self.samples_needed if self.prometheus is not None and self.prometheus.count_query is None else 1

    @field_validator("interval")
    @classmethod
    def _lets_others_work(cls, interval: timedelta) -> timedelta:
        if interval < SHORTEST:
            raise refusal("check-interval", "between two measurements lies 1s at least", advice="write interval: 1s")
        return interval

    @model_validator(mode="after")
    def _one_kind(self) -> Check:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            raise refusal(
                "check-kind",
                f"a check has exactly one kind, here {found}",
                advice=f"write one of {', '.join(KINDS)}; two questions are two checks",
            )
        return self

    @model_validator(mode="after")
    def _counts_what_there_is(self) -> Check:
        if self.job is not None and self.min_samples is not None:
            raise refusal(
                "min-samples",
                "a job is run once a step: it has no samples to count",
                at=("minSamples",),
                advice="leave minSamples out; the job's own exit code says whether it saw enough",
            )
        return self


KINDS = ("probe", "prometheus", "job")
