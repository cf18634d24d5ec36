"""Whether a commit may follow the one that was acted on last. Pure."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.errors import Refused

Descends = Callable[[str, str], bool]
"""Tells whether the first commit descends from the second; False where one of them is not known."""


def leads_on(tip: str, acted_on: str, descends: Descends) -> bool:
    """Tell whether history led from one commit to the other, without being rewritten."""
    return tip == acted_on or descends(tip, acted_on)


def refusal(what: str, tip: str, acted_on: str, descends: Descends, *, allowed: bool, accepted: str) -> Refused | None:
    """Return why a commit that history does not lead to is not followed; None with somebody's consent.

    `allowed` is what the policy in force at `acted_on` says: the rewritten history cannot speak for itself. `accepted`
    is the commit that the settings accept, with what is built on it. It counts once: what was acted on later must not
    be lost to a mirror that lags.
    """
    if allowed:
        return None
    if descends(acted_on, tip):
        return Refused(
            f"{what} is at {tip}, which is older than {acted_on}, the last commit acted on, which stays in force",
            help="a mirror that lags is followed again once it has caught up; to go back, push a commit that reverts, "
            "or set git.ref to the full commit id",
        )
    if accepted and leads_on(tip, accepted, descends) and not leads_on(acted_on, accepted, descends):
        return None
    return Refused(
        f"{what} is at {tip}, which does not descend from {acted_on}, the last commit acted on, which stays in force",
        help=f"was the history rewritten on purpose, set git.acceptRewrite to {tip}; else push a history that holds "
        f"{acted_on[:7]}. `history: {{rewrites: follow}}` in the RepositoryPolicy, committed before, allows it for all",
    )
