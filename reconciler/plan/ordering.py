"""What an order by hand is about, or why it cannot be followed. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from reconciler.errors import Refused, Transient
from reconciler.observed import By, Known, Meant, Order, OrderKind, Release, TrainingRun
from reconciler.plan.course import awaits_approval
from reconciler.plan.facts import Facts
from reconciler.plan.planner import awaiting_approval
from reconciler.plan.rollback import rolled_back
from reconciler.plan.selection import production_of, select
from reconciler.plan.training import ENDED, due_training, failed_run

# Whoever got no answer asks again soon; later the same words are meant for something else.
ANSWERED_AGAIN = timedelta(minutes=5)
NOTHING = Meant(0)
LOOK = "`reconciler explain {name}` tells where it stands"


def order_of(kind: OrderKind, by: By, facts: Facts) -> Order:
    """Return what is ordered; one that is in force already is returned as it was given.

    Raises Refused where there is nothing to order so, or another thing than was meant; Transient where that cannot be
    told now.
    """
    if facts.desired.removed:
        raise Refused(f"{facts.desired.name} left Git and is being taken down", help="bring its spec back first")
    order = _whatever_it_is_about(kind, by, facts)
    if by.meant is not None and by.meant != meant(order):
        raise _about_another(by.meant, order, facts)
    return order


def _whatever_it_is_about(kind: OrderKind, by: By, facts: Facts) -> Order:
    match kind:
        case OrderKind.ABORT | OrderKind.PROMOTE | OrderKind.PAUSE | OrderKind.RESUME:
            return _of_rollout(kind, by, facts)
        case OrderKind.RETRY:
            return _retry(by, facts)
        case OrderKind.APPROVE:
            return _approve(by, facts)
    assert_never(kind)


def repeated(kind: OrderKind, by: By, facts: Facts) -> Order | None:
    """Return the last order, where it was just given in the same words: its answer may have been lost.

    Where it was carried out meanwhile, nothing that it could be about is shown any more.
    """
    last = [o for o in facts.observed.memory.orders[-1:] if facts.now - o.at <= ANSWERED_AGAIN]
    same = [o for o in last if (o.kind, o.actor, o.reason) == (kind, by.actor, by.reason)]
    return next((o for o in same if by.meant in (None, NOTHING, meant(o))), None)


def meant(order: Order) -> Meant:
    """Return what somebody has to mean who gives this order."""
    release = order.release.version if order.release else 0
    return Meant(release if order.version is None else order.version, order.step)


def _about_another(asked: Meant, order: Order, facts: Facts) -> Refused:
    kind, now = order.kind.value, meant(order)
    step = f"step {asked.step} of " if asked.step else ""
    shown = f"it was ordered for {step}version {asked.version}"
    before = shown if asked != NOTHING else f"nothing to {kind} was shown when it was ordered"
    options = f"with --version {now.version}" + (f" --step {now.step}" if now.step else "")
    again = f"{options if now != NOTHING else 'without --version'} it is ordered for that"
    what = f"{before}, but {kind} is now about {about(order)}; nothing was recorded"
    return _refused(facts, what, f"{LOOK}; {again}")


def orderable(facts: Facts) -> tuple[Order, ...]:
    """Return what could be ordered now by somebody, of each kind what it would be about."""
    runs = facts.observed.runs
    started = isinstance(runs, Known) and runs.value
    if facts.rollout is None and not facts.rejections and not started and facts.spec.promotion.approval == "none":
        return ()
    return tuple(order for kind in OrderKind if (order := _possible(kind, facts)) is not None)


def _possible(kind: OrderKind, facts: Facts) -> Order | None:
    try:
        return order_of(kind, By("", ""), facts)
    except (Refused, Transient):
        return None


def _order(kind: OrderKind, by: By, facts: Facts) -> Order:
    return Order(kind, by.actor, by.reason, facts.now, facts.wanted)


def _refused(facts: Facts, what: str, advice: str = LOOK) -> Refused:
    return Refused(what, help=advice.format(name=facts.desired.name))


def _of_rollout(kind: OrderKind, by: By, facts: Facts) -> Order:
    record, orders = facts.rollout, facts.orders
    if record is None:
        what = f"no rollout of {facts.desired.name} is under way"
        back = "; to leave the version that serves, name another one in Git" if kind is OrderKind.ABORT else ""
        raise _refused(facts, what, LOOK + back)
    if kind is OrderKind.ABORT and orders.abort is not None:
        return orders.abort
    if (why := rolled_back(facts, record)) is not None:
        raise _refused(facts, f"version {record.release.version} is being rolled back already: {why}")
    if orders.course is not None and orders.course.kind is kind:
        return orders.course
    if kind is OrderKind.RESUME and orders.pause is None:
        raise _refused(facts, f"the rollout of version {record.release.version} is not paused by hand")
    return replace(_order(kind, by, facts), release=record.release, rollout=record.started)


def _retry(by: By, facts: Facts) -> Order:
    order = _order(OrderKind.RETRY, by, facts)
    if (run := _failed_training(facts)) is not None:
        return replace(order, key=run.key, attempt=run.attempt)
    if facts.rollout is not None:
        what = f"version {facts.rollout.release.version} is on its way, or on its way back"
        raise _refused(facts, what, "retry when that is over; " + LOOK)
    release = _rejected(facts)
    if release is None:
        raise _refused(facts, f"nothing that Git wants of {facts.desired.name} was rejected or failed to train")
    return replace(order, release=release, rejected_at=facts.rejections[release].at)


def _failed_training(facts: Facts) -> TrainingRun | None:
    """Return the last run of the training that is due, where it failed and is not tried again already."""
    training, due = facts.spec.training, due_training(facts.desired, facts.registered, facts.now)
    if training is None or due is None:
        return None
    runs = facts.observed.runs
    if not isinstance(runs, Known):
        raise Transient(f"the training runs of {facts.desired.name} cannot be read: {runs.why}")
    own = [run for run in runs.value if run.key == due.key]
    if not own or any(run.state not in ENDED for run in own) or not failed_run(own[-1], training.timeout):
        return None
    return own[-1] if own[-1].attempt > facts.orders.tried(due.key) else None


def _rejected(facts: Facts) -> Release | None:
    """Return the newest release that Git wants and that was rolled back."""
    serving, version = facts.spec.serving, select(facts).rejected
    return facts.release(version.version, serving) if serving is not None and version is not None else None


def _approve(by: By, facts: Facts) -> Order:
    record = facts.rollout
    if record is not None and rolled_back(facts, record) is None and awaits_approval(facts, record):
        found = replace(_order(OrderKind.APPROVE, by, facts), release=record.release, rollout=record.started)
        return facts.orders.steps.get(record.step) or replace(found, step=record.step)
    if facts.spec.promotion.approval == "none" or facts.spec.promotion.version != "auto":
        raise _refused(facts, f"no version of {facts.desired.name} needs approval: Git asks for none")
    selected = select(facts)
    waiting = awaiting_approval(facts, selected)
    approval = facts.orders.approval
    if waiting is None and approval is not None and selected.version is not None:
        return approval
    if waiting is None or waiting is production_of(facts.registered):
        raise _refused(facts, f"no version of {facts.desired.name} waits for approval")
    return replace(_order(OrderKind.APPROVE, by, facts), version=waiting.version)


def about(order: Order) -> str:
    """Write what an order is about."""
    if order.key:
        made = "1 attempt was" if order.attempt == 1 else f"{order.attempt} attempts were"
        return f"the training {order.key}, of which {made} made"
    if order.version is not None:
        return f"version {order.version}"
    version = order.release.version if order.release else 0
    if order.step:
        return f"step {order.step} of the rollout of version {version}"
    return f"version {version}, rejected" if order.rejected_at else f"the rollout of version {version}"


def follows(order: Order, facts: Facts) -> str:
    """Say what happens next."""
    version = order.version or (order.release.version if order.release else 0)
    stable = f"version {facts.rollout.stable.version}" if facts.rollout else "what serves"
    match order.kind:
        case OrderKind.ABORT:
            back = f"`reconciler retry {facts.desired.name}` or a commit brings it back"
            return f"version {version} gets no more traffic, {stable} keeps all of it; {version} is rejected: {back}"
        case OrderKind.PROMOTE:
            return f"version {version} gets all traffic as soon as it is ready; steps and checks are skipped"
        case OrderKind.PAUSE:
            return (
                f"the rollout of version {version} holds its traffic and its deadline stands still; "
                "its checks go on, and one that fails still takes it back"
            )
        case OrderKind.RESUME:
            return f"the rollout of version {version} goes on where it was"
        case OrderKind.RETRY:
            again = f"version {version} is rolled out again, from the first step"
            return f"attempt {order.attempt + 1} of the training starts" if order.key else again
        case OrderKind.APPROVE:
            left = f"step {order.step} of the rollout of version {version} is left once its checks pass"
            return (
                left if order.step else f"version {version} is taken as if Git named it: it is rolled out over {stable}"
            )
    assert_never(order.kind)


def shown(facts: Facts) -> tuple[Order, ...]:
    """Return the orders in force that are worth showing, oldest first."""
    orders, production = facts.orders, production_of(facts.registered)
    approval = orders.approval
    if approval is not None and production is not None and production.version == approval.version:
        approval = None
    course = orders.course if orders.course and orders.course.kind is not OrderKind.RESUME else None
    step = orders.steps.get(facts.rollout.step) if facts.rollout else None
    found = [o for o in (orders.abort, course, approval, step, _tried_again(facts)) if o is not None]
    return tuple(sorted(found, key=lambda order: order.at))


def _tried_again(facts: Facts) -> Order | None:
    """Return the order to try again what is not there yet."""
    last = next((o for o in reversed(facts.observed.memory.orders) if o.kind is OrderKind.RETRY), None)
    if last is None:
        return None
    if last.key:
        due = due_training(facts.desired, facts.registered, facts.now)
        return last if due is not None and due.key == last.key else None
    return last if facts.rollout is not None and facts.rollout.release == last.release else None
