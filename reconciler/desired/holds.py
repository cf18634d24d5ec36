"""How long a step of a rollout is held: for a time, until somebody approves, or until a window of a schedule opens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, assert_never

from pydantic import Discriminator, Field, Tag, field_validator

from reconciler.desired.base import UNION_PREFIX, Document, Percent, refusal
from reconciler.desired.cron import check_cron
from reconciler.desired.duration import Duration, format_duration

UNTIL_APPROVED: Literal["untilApproved"] = "untilApproved"


class Window(Document):
    """A time in which the next step may begin; it opens when the expression fires."""

    cron: str = Field(description='Cron, five fields, UTC: when it opens; for example "0 9 * * 1-5".')
    duration: Duration

    _cron = field_validator("cron")(check_cron)

    @field_validator("duration")
    @classmethod
    def _opens(cls, duration: timedelta) -> timedelta:
        if duration < timedelta(minutes=1):
            raise refusal("window", "a window must be open for 1m at least", advice="write how long, such as 8h")
        return duration


def _kind(value: Any) -> str | None:
    match value:
        case "untilApproved":
            return UNION_PREFIX + "approval"
        case bool():
            return None
        case str() | timedelta() | int() | float():
            return UNION_PREFIX + "duration"
        case dict() | Window():
            return UNION_PREFIX + "window"
    return None


Hold = Annotated[
    Annotated[Literal["untilApproved"], Tag(UNION_PREFIX + "approval")]
    | Annotated[Duration, Tag(UNION_PREFIX + "duration")]
    | Annotated[Window, Tag(UNION_PREFIX + "window")],
    Discriminator(
        _kind,
        custom_error_type="invalid-value",
        custom_error_message='write a duration such as "10m", untilApproved, or a window {cron, duration}',
    ),
]


class Step(Document):
    """One step of a canary: this share of the traffic, held so long before the next one begins."""

    traffic: Percent
    hold: Hold = Field(
        description="A duration; untilApproved; or {cron, duration}: the next step begins only in that window."
    )


def describe_hold(hold: timedelta | Literal["untilApproved"] | Window) -> str:
    """Write a hold for people: `for 10m`, `until approved`, `until a window (0 9 * * 1-5, 8h)`."""
    match hold:
        case timedelta():
            return f"for {format_duration(hold)}"
        case "untilApproved":
            return "until approved"
        case Window():
            return f"until a window ({hold.cron}, {format_duration(hold.duration)})"
    assert_never(hold)
