"""A short name for a JSON value. Pure."""

from __future__ import annotations

import hashlib
import json


def digest(value: object) -> str:
    """Return ten hex digits that stand for a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
