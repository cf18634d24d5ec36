"""How much a repository may hold."""

from __future__ import annotations

from reconciler.desired.files import MAX_FILES, MAX_TOTAL_BYTES
from reconciler.errors import Terminal

_ADVICE = "set git.path to the folder of the models, or split the repository"


def check_limits(count: int, total: int) -> None:
    """Refuse more YAML files, or more bytes in them, than a repository may have. Raises Terminal."""
    if count > MAX_FILES:
        raise Terminal(f"more than {MAX_FILES:,} YAML files", help=_ADVICE)
    if total > MAX_TOTAL_BYTES:
        raise Terminal(f"the YAML files hold more than {MAX_TOTAL_BYTES:,} bytes (256 MiB)", help=_ADVICE)
