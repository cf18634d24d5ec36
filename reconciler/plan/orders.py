"""What people ordered by hand: as it stands on the ledger, and which of it is in force. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reconciler.observed import Order, OrderKind, Rejection, Release

ACTIONS: Mapping[str, OrderKind] = {f"Order{kind.value.capitalize()}": kind for kind in OrderKind}
"""What orders are called on the ledger."""

_COURSE = (OrderKind.PROMOTE, OrderKind.PAUSE, OrderKind.RESUME)


@dataclass(frozen=True, slots=True)
class Orders:
    """What is in force now. Of promote, pause and resume the last word counts; an abort is final for its rollout.

    `course` is that last word. `pauses` are from when until when the rollout was paused: its deadline does not run
    meanwhile.
    `retried` are rejections, by release and time, and `tries` how many attempts of a training, that do not count any
    more. `approved` is the version that counts as named in Git, `steps` are those of the rollout that may be left.
    """

    abort: Order | None = None
    course: Order | None = None
    pauses: tuple[tuple[datetime, datetime], ...] = ()
    approval: Order | None = None
    retried: frozenset[tuple[Release, datetime]] = frozenset()
    tries: Mapping[str, Order] = field(default_factory=dict)
    steps: Mapping[int, Order] = field(default_factory=dict)

    @property
    def promote(self) -> Order | None:
        """Return the order to skip the rest of the steps."""
        return self.course if self.course is not None and self.course.kind is OrderKind.PROMOTE else None

    @property
    def pause(self) -> Order | None:
        """Return the order to hold the rollout where it is."""
        return self.course if self.course is not None and self.course.kind is OrderKind.PAUSE else None

    @property
    def approved(self) -> int | None:
        """Return the version that counts as named in Git."""
        return self.approval.version if self.approval else None

    def tried(self, key: str) -> int:
        """Return up to which attempt a training's failures do not count."""
        return self.tries[key].attempt if key in self.tries else 0


NONE = Orders()


def in_force(given: tuple[Order, ...], rollout: tuple[Release, datetime] | None, wanted: str, now: datetime) -> Orders:
    """Tell which orders count for this rollout and these wishes."""
    if not given:
        return NONE
    ours = [o for o in given if rollout is not None and (o.release, o.rollout) == rollout]
    approvals = [o for o in given if o.kind is OrderKind.APPROVE and o.version is not None and o.wanted == wanted]
    retries = [o for o in given if o.kind is OrderKind.RETRY]
    return Orders(
        abort=next((o for o in ours if o.kind is OrderKind.ABORT), None),
        course=next((o for o in reversed(ours) if o.kind in _COURSE), None),
        pauses=tuple(_pauses(ours, now)),
        approval=approvals[-1] if approvals else None,
        retried=frozenset((o.release, o.rejected_at) for o in retries if o.release and o.rejected_at),
        tries={o.key: o for o in retries if o.key},
        steps={o.step: o for o in ours if o.kind is OrderKind.APPROVE},
    )


def _pauses(ours: list[Order], now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield from when until when a rollout was paused so far; by clocks that disagree a pause may be empty."""
    since = None
    for order in ours:
        if order.kind is OrderKind.PAUSE:
            since = since or order.at
        elif since is not None and order.kind in _COURSE:
            yield since, max(order.at, since)
            since = None
    if since is not None:
        yield since, max(now, since)


def said(order: Order, did: str) -> str:
    """Write who ordered it and why: `aborted by ana: the answers look odd`."""
    return f"{did} by {order.actor}: {order.reason}"


def rejection_of(order: Order) -> Rejection | None:
    """Return the rejection that an order to abort is."""
    if order.release is None:
        return None
    return Rejection(order.release, order.wanted, said(order, "aborted"), order.at, order.rollout)


def to_after(order: Order) -> dict[str, Any]:
    """Write what an order is about, for the ledger; who gave it, when and why stand there already."""
    times = {"rollout": order.rollout, "rejectedAt": order.rejected_at}
    about: dict[str, Any] = {"wanted": order.wanted}
    about |= {"release": str(order.release)} if order.release else {}
    about |= {name: at.isoformat() for name, at in times.items() if at}
    about |= {"version": order.version} if order.version is not None else {}
    about |= {"step": order.step} if order.step else {}
    return about | ({"key": order.key, "attempt": order.attempt} if order.key else {})


def from_after(action: str, by: tuple[str, str, datetime], after: Mapping[str, Any]) -> Order | None:
    """Read an order off the ledger; `by` is who gave it, why and when. None for anything that we did not write."""
    actor, reason, at = by
    try:
        return Order(
            kind=ACTIONS[action],
            actor=actor,
            reason=reason,
            at=at,
            wanted=str(after["wanted"]),
            release=Release.parse(after.get("release")),
            rollout=_time(after.get("rollout")),
            rejected_at=_time(after.get("rejectedAt")),
            version=_number(after.get("version")),
            key=str(after.get("key", "")),
            attempt=_number(after.get("attempt")) or 0,
            step=_number(after.get("step")) or 0,
        )
    except (KeyError, ValueError, TypeError):
        return None


def _time(text: object) -> datetime | None:
    return None if text is None else datetime.fromisoformat(str(text))


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))
