"""Where the running service listens, told through a file, so that commands on the same machine find it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

_FILE = "http.json"


@dataclass(frozen=True, slots=True)
class Address:
    """The base URL of a running service, and its process id."""

    url: str
    pid: int


def write_address(state_dir: Path, address: Address) -> None:
    """Tell where the service listens; readers see the old file or the new one, never half of it."""
    state_dir.mkdir(parents=True, exist_ok=True)
    fresh = state_dir / f".{_FILE}.{address.pid}"
    fresh.write_text(json.dumps({"url": address.url, "pid": address.pid}) + "\n", encoding="utf-8")
    fresh.replace(state_dir / _FILE)


def read_address(state_dir: Path) -> Address | None:
    """Return where a service that uses this folder listens; None when none does, as far as can be told."""
    try:
        raw = json.loads((state_dir / _FILE).read_text(encoding="utf-8"))
        address = Address(url=str(raw["url"]), pid=int(raw["pid"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return address if _runs(address.pid) else None


def remove_address(state_dir: Path, pid: int) -> None:
    """Take the file away, if it is still this process's."""
    address = read_address(state_dir)
    if address is not None and address.pid == pid:
        (state_dir / _FILE).unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
