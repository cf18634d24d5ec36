"""Read back from the ledger what a decision has to remember: rollbacks, measurements, put-backs, orders."""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.ensure.analysis import from_json
from reconciler.observed import Measurement, Order, Rejection, Release
from reconciler.plan.action import Adopt, Analyse, CutTraffic, Deploy, PutBack, TakeDown
from reconciler.plan.marks import RolloutRecord, moment
from reconciler.plan.orders import ACTIONS as ORDERS
from reconciler.plan.orders import from_after
from reconciler.ports import Entry, Ledger, Moment, Result

# Longer than a fight needs until its pauses grow no more.
PUT_BACK_MEMORY = timedelta(hours=5)
MOST_CUTS = 20
MOST_MOVES = 50
_COMES_OR_GOES = (Deploy.__name__, Adopt.__name__, TakeDown.__name__)
MOST_MEASUREMENTS = 500
# People give few orders; an older one is of a rollout, or an approval, that is long over.
MOST_ORDERS_READ = 10_000


def rejections(ledger: Ledger, name: str) -> tuple[Rejection, ...]:
    """Return the newest decisions to roll back; that of the rollout in progress is among them."""
    entries = ledger.entries(model=name, actions=[CutTraffic.__name__], limit=MOST_CUTS)
    found = (_rejection(e.entry) for e in entries if e.entry.moment is Moment.INTENT)
    return tuple(r for r in found if r is not None)


def measurements(ledger: Ledger, name: str, rollout: RolloutRecord) -> tuple[Measurement, ...]:
    """Return what was measured since the step of the rollout began."""
    since, actions = rollout.since, [Analyse.__name__]
    entries = ledger.entries(model=name, actions=actions, since=since, limit=MOST_MEASUREMENTS)
    found = (from_json(e.entry.after) for e in entries if e.entry.result is Result.DONE)
    return tuple(m for m in found if m is not None)


def put_backs(ledger: Ledger, name: str, now: datetime) -> tuple[datetime, ...]:
    """Return when drift was put back lately."""
    since = now - PUT_BACK_MEMORY
    entries = ledger.entries(model=name, actions=[PutBack.__name__], since=since, limit=50)
    return tuple(e.entry.at for e in entries if e.entry.moment is Moment.INTENT)


def taken_down(ledger: Ledger, name: str) -> frozenset[str]:
    """Return the namespaces in which a model was taken down and nothing of it was applied anywhere since."""
    found: set[str] = set()
    for entry in (recorded.entry for recorded in ledger.entries(model=name, actions=_COMES_OR_GOES, limit=MOST_MOVES)):
        if entry.action != TakeDown.__name__:
            found.clear()
        elif entry.result is Result.DONE:
            found.add(str(entry.after.get("deleted", "")).partition("/")[0])
    return frozenset(found)


def orders_by_model(ledger: Ledger) -> dict[str, tuple[Order, ...]]:
    """Return what was ordered by hand, in the order it was given."""
    found: dict[str, list[Order]] = {}
    for entry in (recorded.entry for recorded in ledger.entries(actions=ORDERS, limit=MOST_ORDERS_READ)):
        order = from_after(entry.action, (entry.author, entry.reason, entry.at), entry.after)
        if order is not None:
            found.setdefault(entry.model, []).append(order)
    return {model: tuple(orders) for model, orders in found.items()}


def _rejection(intent: Entry) -> Rejection | None:
    """Read the rejection that the intent to cut traffic is."""
    release = Release.parse(str(intent.after.get("release", "")))
    started = str(intent.after.get("started", ""))
    if release is None or not started:
        return None
    try:
        rollout = moment(started)
    except ValueError:
        return None  # not as we write it
    reason = intent.reason.removeprefix("because ")
    return Rejection(release, str(intent.after.get("wanted", "")), reason, intent.at, rollout)
