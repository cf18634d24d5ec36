"""All planted bugs, and those that the world is still too kind to find."""

from __future__ import annotations

from tests.simulation.museum import acting, judging, rolling, splitting, wire

# What the world lacks to find them.
NOT_YET = {
    "unknown-ledger-is-empty": "the ledger hardly ever fails when it alone remembers a rollback",
    "old-measurements-count": "a hold shorter than the interval of its check is rare",
    "previous-not-checked": "no revision of somebody else's comes up between a decision and the write",
    **{bug.name: "it was not hunted for long enough yet" for bug in wire.BUGS if bug.name != "two-in-production"},
    "suspension-holds-the-rollback": "a suspended model whose candidate goes wrong is rare among 900 tapes",
    "put-back-applies-git": "drift between a commit and the rollout that follows it is rare among 1,400 tapes",
    "stable-removed-with-callers": "few tapes ask for Standard mode; it fails a story (test_museum)",
    "ingress-believed-from-spec": "few tapes ask for Standard mode without a route; it fails a story (test_museum)",
    "canary-removed-with-callers": "few tapes ask for Standard mode; it fails a story (test_museum)",
    "split-believed-from-spec": "few tapes ask for Standard mode; it fails a story (test_museum)",
    "renamed-in-place": "few tapes ask for Standard mode; it fails a story (test_museum)",
    "heir-not-awaited": "a canary that callers are sent to does not go, so that nobody is harmed; it fails a story",
    "named-alike": "KServe refuses such a canary, which harms no caller; it fails a story (test_museum)",
    "trainings-forgotten": "a restart in the middle of a training that Git drops is rare among 500 tapes",
    "rollback-in-memory": "a restart between a decision to roll back and its mark is rare among 700 tapes",
    "deleted-without-uid": "nobody deletes an object and makes it anew between a look and a deletion",
}
ALL = {bug.name: bug for bug in (*judging.BUGS, *rolling.BUGS, *acting.BUGS, *splitting.BUGS, *wire.BUGS)}
BUGS = {name: bug for name, bug in ALL.items() if name not in NOT_YET}
