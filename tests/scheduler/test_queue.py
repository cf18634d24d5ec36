"""The queue and the workers with real threads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Barrier, Event, Lock, Thread

from reconciler.scheduler.lanes import Urgency
from reconciler.scheduler.queue import WorkQueue
from reconciler.scheduler.workers import Reader, Workers, join_all

EVENT = Urgency.EVENT


@contextmanager
def _working(workers: Workers, queue: WorkQueue) -> Iterator[None]:
    workers.start()
    try:
        yield
    finally:
        queue.close()
        assert join_all(workers.threads, 20, time.monotonic) == ()


def test_no_model_is_handled_twice_at_once_and_every_wake_up_is_followed_by_a_look() -> None:
    queue, lock = WorkQueue(time.monotonic), Lock()
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()
    world = Counter[str]()
    seen = Counter[str]()
    caught_up = Event()
    rounds, names = 300, ("a", "b", "c")

    def handle(name: str) -> None:
        with lock:
            inside[name] += 1
            most[name] = max(most[name], inside[name])
            looked_at = world[name]
        time.sleep(0)
        with lock:
            inside[name] -= 1
            seen[name] = looked_at
            if all(seen[each] == 4 * rounds for each in names):
                caught_up.set()

    def change() -> None:
        for _ in range(rounds):
            for name in names:
                with lock:
                    world[name] += 1
                queue.add(name, EVENT)

    with _working(Workers(queue, handle, 4), queue):
        writers = [Thread(target=change) for _ in range(4)]
        for writer in writers:
            writer.start()
        assert caught_up.wait(20), "the last change of a model was never looked at"
        for writer in writers:
            writer.join()
    assert most == dict.fromkeys(names, 1)


def test_one_slow_model_does_not_hold_up_the_others() -> None:
    queue, release = WorkQueue(time.monotonic), Event()
    done, all_done = set[str](), Event()

    def handle(name: str) -> None:
        if name == "slow":
            release.wait(20)
        else:
            done.add(name)
            if len(done) == 50:
                all_done.set()

    with _working(Workers(queue, handle, 2), queue):
        queue.add("slow", EVENT)
        for n in range(50):
            queue.add(f"model-{n}", EVENT)
        try:
            assert all_done.wait(20)
        finally:
            release.set()


def test_different_models_are_handled_at_the_same_time() -> None:
    queue, together = WorkQueue(time.monotonic), Barrier(4, timeout=20)
    passed = Event()

    def handle(_name: str) -> None:
        if together.wait() == 0:
            passed.set()

    with _working(Workers(queue, handle, 4), queue):
        for name in "abcd":
            queue.add(name, EVENT)
        assert passed.wait(20)


def test_a_timer_wakes_a_waiting_worker_by_itself() -> None:
    queue, handled = WorkQueue(time.monotonic), Event()
    with _working(Workers(queue, lambda _: handled.set(), 1), queue):
        queue.settle("iris", 0.05)
        assert handled.wait(20)


def test_a_closed_queue_hands_out_nothing_more() -> None:
    queue = WorkQueue(time.monotonic)
    queue.add("iris", EVENT)
    queue.close()
    queue.add("churn", EVENT)
    assert queue.take() is None


def test_figures_tell_depth_and_ages_by_the_clock_passed_in() -> None:
    now = [100.0]
    queue = WorkQueue(lambda: now[0])
    queue.add("a", EVENT)
    queue.add("b", EVENT)
    queue.settle("c", 50)
    now[0] = 103.0
    assert queue.take() == "a"
    now[0] = 110.0
    figures = queue.figures()
    assert (figures.depth, figures.oldest_age, figures.waiting, figures.working) == (1, 10.0, 1, {"a": 7.0})


def test_a_reader_asked_during_a_read_reads_exactly_once_more() -> None:
    begun, go_on, second = Event(), Event(), Event()
    reads: list[int] = []

    def read() -> None:
        reads.append(1)
        if len(reads) == 1:
            begun.set()
            go_on.wait(20)
        else:
            second.set()

    reader = Reader("reader", read)
    reader.start()
    assert begun.wait(20)
    for _ in range(5):
        reader.ask()
    go_on.set()
    assert second.wait(20)
    reader.stop()
    assert join_all([reader.thread], 20, time.monotonic) == ()
    assert len(reads) == 2


def test_a_reader_survives_a_read_that_fails() -> None:
    again = Event()
    reads: list[int] = []

    def read() -> None:
        reads.append(1)
        if len(reads) == 1:
            raise RuntimeError("unexpected")
        again.set()

    reader = Reader("reader", read)
    reader.start()
    try:
        while not again.wait(0.05):
            reader.ask()
    finally:
        reader.stop()
        assert join_all([reader.thread], 20, time.monotonic) == ()


def test_join_names_the_threads_that_still_run() -> None:
    release = Event()
    stuck = Thread(target=release.wait, name="stuck", daemon=True)
    stuck.start()
    assert join_all([stuck], 0.01, time.monotonic) == ("stuck",)
    release.set()
    assert join_all([stuck], 20, time.monotonic) == ()
