"""Who may ask what: bearer tokens out of a file, read again whenever it changes."""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock

from reconciler.errors import SettingsError
from reconciler.logs import get_logger
from reconciler.settings import remember_secrets

_log = get_logger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_LARGEST = 64 * 1024
_SHORTEST_TOKEN = 16
FORM = (
    "each line is `NAME view|operate TOKEN`; TOKEN is sha256:<hex digest of it>, or itself, with 16 or more characters"
)


class Role(StrEnum):
    """What a token is good for; who may operate may view."""

    VIEW = "view"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a token."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class _Line:
    holder: Holder
    digest: bytes


class TokenFile:
    """The tokens of a file. What it says is never shown, nor logged."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises SettingsError where it cannot be used."""
        self._path = path
        self._lock = Lock()
        self._seen: tuple[int, ...] = ()
        self._lines: tuple[_Line, ...] = ()
        self._current()

    def holder(self, token: str) -> Holder | None:
        """Return who holds a token, None when nobody does. Raises SettingsError where the file cannot be used now."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = None
        for line in self._current():  # all of them, so that the time it takes tells nothing
            if hmac.compare_digest(line.digest, digest):
                found = line.holder
        return found

    def _current(self) -> tuple[_Line, ...]:
        with self._lock:
            try:
                found = self._path.stat()
                seen = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
                if seen != self._seen:
                    self._lines, self._seen = (), ()
                    with self._path.open("rb") as file:
                        self._lines = _parse(file.read(_LARGEST + 1), self._path)
                    self._seen = seen
                    _warn(self._path, found.st_mode)
            except OSError as error:
                self._lines, self._seen = (), ()
                raise SettingsError(f"cannot read the token file {self._path}: {error.strerror}") from error
            return self._lines


def _warn(path: Path, mode: int) -> None:
    if stat.S_IMODE(mode) & 0o077:
        _log.warning("the token file can be read by others than its owner", file=str(path), help=f"chmod 600 {path}")


def _parse(data: bytes, path: Path) -> tuple[_Line, ...]:
    if len(data) > _LARGEST:
        raise SettingsError(f"the token file {path} has more than {_LARGEST:,} bytes", help=FORM)
    try:
        text = data.decode("ascii")
    except ValueError:
        raise SettingsError(f"the token file {path} holds other than ASCII characters", help=FORM) from None
    rows = [(number, written.split()) for number, written in enumerate(text.splitlines(), start=1)]
    rows = [(number, words) for number, words in rows if words and not words[0].startswith("#")]
    remember_secrets(str(path), [words[2] for _, words in rows if len(words) == 3 and _stands_itself(words[2])])
    lines: list[_Line] = []
    for number, words in rows:
        line = _line(words, f"line {number} of the token file {path}")
        if any(other.digest == line.digest for other in lines):
            raise SettingsError(f"line {number} of the token file {path} has the token of an earlier line")
        lines.append(line)
    return tuple(lines)


def _stands_itself(token: str) -> bool:
    """Tell whether this is a token, and not its digest."""
    return len(token) >= _SHORTEST_TOKEN and not token.startswith("sha256:")


def _line(words: list[str], where: str) -> _Line:
    if len(words) != 3:
        raise SettingsError(f"{where} has {len(words)} words instead of 3", help=FORM)
    name, role, token = words
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{where}: the name may have letters, digits and . _ @ -, at most 63", help=FORM)
    if role not in tuple(Role):
        raise SettingsError(f"{where}: the role is neither view nor operate", help=FORM)
    found = _DIGEST.fullmatch(token)
    if found is None and not _stands_itself(token):
        raise SettingsError(f"{where}: the token is too short, or no sha256 digest of 64 hex digits", help=FORM)
    digest = bytes.fromhex(found[1]) if found else hashlib.sha256(token.encode()).digest()
    return _Line(Holder(name, Role(role)), digest)
