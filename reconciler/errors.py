"""Every error the reconciler raises on purpose.

    ReconcilerError
    ├── Transient          the call failed and did nothing; trying again later may help
    ├── UnknownOutcome     the call may or may not have been applied; observe again before any other step
    ├── Terminal           trying again cannot help until somebody changes something
    │   ├── Conflict       somebody else owns it, or changed it meanwhile
    │   └── Refused        the request itself is not acceptable to the other side
    └── SettingsError      the service was started with settings it cannot use

Each carries a sentence that says what went wrong and, in `help`, what to do next.
"""

from __future__ import annotations

# What a server says in an error may be as long as it likes; it goes to logs, statuses and the ledger.
LONGEST_MESSAGE = 2_000


class ReconcilerError(Exception):
    """Base of all errors raised on purpose; `help` is the next thing to do. A very long message is cut."""

    def __init__(self, message: str, *, help: str = "") -> None:  # noqa: A002  the word that users see
        if len(message) > LONGEST_MESSAGE:
            message = message[: LONGEST_MESSAGE - 3] + "..."
        super().__init__(message)
        self.message = message
        self.help = help


class Transient(ReconcilerError):  # noqa: N818  named as outcomes, as the ledger shows them
    """The call did nothing; it may be tried again after `retry_after` seconds."""

    def __init__(self, message: str, *, help: str = "", retry_after: float | None = None) -> None:  # noqa: A002  what `help:` shows
        super().__init__(message, help=help)
        self.retry_after = retry_after


class UnknownOutcome(ReconcilerError):  # noqa: N818  as above
    """The answer was lost: the call may have been applied, or may still be."""


class Terminal(ReconcilerError):  # noqa: N818  as above
    """Trying again cannot help until somebody changes something."""


class Conflict(Terminal):
    """Another owner holds what we would write, or it changed since it was read."""


class Refused(Terminal):
    """The other side does not accept the request."""


class SettingsError(ReconcilerError):
    """The settings cannot be used; the message names the setting."""
