"""Git by pygit2: a bare mirror, fetched by a process of its own and read without a checkout. Home of pygit2."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pygit2
from pygit2.enums import ObjectType

from reconciler.desired.repository import Assembler
from reconciler.desired.state import Commit, DesiredModel, DesiredState
from reconciler.errors import ReconcilerError, Refused, SettingsError, Terminal, Transient
from reconciler.ports import Clock, SourceStatus
from reconciler.settings import GitSettings, Secret
from reconciler.source.address import Transport, is_plaintext, redact, transport_of
from reconciler.source.fetch_child import Job
from reconciler.source.fetching import fetch
from reconciler.source.history import leads_on, refusal
from reconciler.source.tree import TreeCache, TreeSnapshot

# Older ones run what a hostile repository says (CVE-2024-24577, and what 1.9.7 corrected).
OLDEST_LIBGIT2 = (1, 9, 7)


class Remembered(Protocol):
    """What the source asks of `ports.Memory`."""

    def last_good(self) -> Mapping[str, DesiredModel]:
        """Return the last good spec of every model that was ever taken over and not let go."""

    def acted_on(self, line: str) -> str | None:
        """Return the last commit of this line of Git that may have been acted on."""


class GitSource:
    """Follows one branch, tag or commit; implements `ports.Source`. Raises SettingsError when it cannot be used."""

    def __init__(self, settings: GitSettings, state_dir: Path, clock: Clock, memory: Remembered) -> None:
        check_libgit2(pygit2.LIBGIT2_VERSION)
        self._settings = settings
        self._line = _short_digest(settings.url, settings.ref, settings.path)
        self._mirror = _Mirror(settings, state_dir)
        self._path = settings.path
        self._clock = clock
        self._memory = memory
        self._assembler = Assembler()
        self._current: _Current | None = None
        self._status = SourceStatus(None, None, line=self._line)
        self._state: tuple[_Current, frozenset[str], DesiredState] | None = None
        self._restore()

    def fetch(self) -> SourceStatus:
        """Fetch; a failure leaves the last good commit in force, and the status says since when and why."""
        now = self._clock()
        tip = None
        try:
            tip = self._mirror.fetch_tip()
            rewritten = self._adopt(tip)
        except ReconcilerError as error:
            since = self._status.failing_since or now
            message = f"{error.message} ({error.help})" if error.help else error.message
            refused = tip.id if tip is not None and isinstance(error, Refused) else None
            self._status = replace(self._status, failing_since=since, error=message, refused=refused)
        else:
            commit = self._current.commit if self._current else None
            self._status = SourceStatus(commit, now, rewritten_from=rewritten, line=self._line)
        return self._status

    def desired(self) -> DesiredState | None:
        """Return the desired state at the last good commit, None before the first. Raises Terminal."""
        current = self._current
        if current is None:
            return None
        last_good = self._memory.last_good()
        names = frozenset(last_good)
        if self._state and self._state[0] is current and self._state[1] == names:
            return self._state[2]
        with _git_errors("cannot read the mirror"):
            state = self._assembler.assemble(current.commit, current.snapshot, last_good)
        self._state = (current, names, state)
        return state

    def commit(self, commit_id: str) -> Commit | None:
        """Return who made a commit and when, None when the mirror does not have it."""
        return self._mirror.commit(commit_id)

    def _restore(self) -> None:
        """Begin with the commit that the process before acted on, so that a start needs no network."""
        try:
            acted_on = self._memory.acted_on(self._line)
        except ReconcilerError:
            return  # fetching asks again
        good = self._mirror.commit(acted_on) if acted_on else self._mirror.good()
        if good is not None:
            try:
                self._current = self._read(good)
            except ReconcilerError:
                return  # fetching will say what is wrong with it
            self._status = SourceStatus(good, None, line=self._line)

    def _adopt(self, commit: Commit) -> str | None:
        """Take over a commit; return the one acted on last where history does not lead from it. Raises Refused."""
        acted_on = self._memory.acted_on(self._line) or (self._current.commit.id if self._current else None)
        rewritten = acted_on is not None and not leads_on(commit.id, acted_on, self._mirror.descends)
        if acted_on is not None and rewritten:
            self._check_consent(commit, acted_on)
        if self._current is None or self._current.commit.id != commit.id:
            current = self._read(commit)
            self._mirror.keep(commit)
            self._current = current
        return acted_on if rewritten else None

    def _check_consent(self, commit: Commit, acted_on: str) -> None:
        if commit.id == self._settings.ref:
            return  # the settings name this very commit
        state = self.desired()
        allowed = state is not None and state.policy.history.rewrites == "follow"
        what = f"{self._settings.ref} in {redact(self._settings.url)}"
        accepted = self._settings.accept_rewrite
        why = refusal(what, commit.id, acted_on, self._mirror.descends, allowed=allowed, accepted=accepted)
        if why is not None:
            raise why

    def _read(self, commit: Commit) -> _Current:
        cache = self._current.snapshot.cache if self._current else TreeCache()
        with _git_errors(f"cannot read commit {commit.short}"):
            snapshot = TreeSnapshot(self._mirror, self._mirror.root(commit), self._path, cache)
        if not snapshot.documents and not snapshot.problems:
            where = f"under {self._path} " if self._path else ""
            raise Terminal(
                f"there is no YAML file {where}in commit {commit.short}; the last good commit stays in force",
                help="check git.path; an empty folder is never taken for a wish to remove everything",
            )
        return _Current(commit, snapshot)


@dataclass(frozen=True, slots=True)
class _Current:
    commit: Commit
    snapshot: TreeSnapshot


class _Mirror:
    """The bare clone, and how to reach its origin."""

    def __init__(self, settings: GitSettings, state_dir: Path) -> None:
        self._settings = settings
        self._url = settings.url
        self._transport = transport_of(settings.url)
        _check_access(settings, self._transport)
        if self._transport is Transport.LOCAL and "://" not in settings.url:
            self._url = str(Path(settings.url).expanduser().absolute())
        self._good = f"refs/reconciler/good-{_short_digest(settings.ref, settings.path)}"
        self._home = _home_for(settings, state_dir, self._transport)
        self._repository = _open(state_dir / "git" / f"{_short_digest(settings.url)}.git")

    def fetch_tip(self) -> Commit:
        """Fetch what the settings follow, and return its commit. Raises Transient, Refused or Terminal."""
        tip = fetch(self._job())
        with _git_errors(f"cannot read {self._settings.ref} from {redact(self._settings.url)}"):
            return self._commit_of(pygit2.Oid(hex=tip))

    def _job(self) -> Job:
        settings, transport = self._settings, self._transport
        ssh = transport is Transport.SSH
        return Job(
            mirror=self._repository.path,
            url=self._url,
            shown=redact(settings.url),
            ref=settings.ref,
            transport=transport.value,
            username=settings.username,
            token=_read(settings.token) if transport is Transport.HTTPS else "",
            key=_read(settings.ssh_key) if ssh else "",
            passphrase=_read(settings.ssh_passphrase) if ssh else "",
            home=self._home,
            wait_seconds=settings.timeout.total_seconds(),
            seconds=settings.deadline.total_seconds(),
            most_bytes=settings.most_mebibytes * 1024 * 1024,
        )

    def good(self) -> Commit | None:
        """Return the last good commit that was kept."""
        reference = self._repository.references.get(self._good)
        return self.commit(str(reference.target)) if reference is not None else None

    def keep(self, commit: Commit) -> None:
        """Keep a commit as the last good one, across restarts."""
        with _git_errors("cannot write to the mirror"):
            self._repository.references.create(self._good, pygit2.Oid(hex=commit.id), force=True)

    def descends(self, new: str, old: str) -> bool:
        """Tell whether the first commit descends from the second; False where the mirror does not have both."""
        if new not in self._repository or old not in self._repository:
            return False
        with _git_errors("cannot read the history"):
            return self._repository.descendant_of(new, old)

    def commit(self, commit_id: str) -> Commit | None:
        """Return a commit, None when the mirror does not have it."""
        try:
            return self._commit_of(pygit2.Oid(hex=commit_id))
        except (KeyError, ValueError, pygit2.GitError):
            return None

    def root(self, commit: Commit) -> bytes:
        """Return the id of a commit's root folder."""
        found = self._repository[pygit2.Oid(hex=commit.id)].peel(pygit2.Commit)
        return found.tree_id.raw

    def tree(self, oid: bytes) -> bytes:
        """Return a tree object as it is stored."""
        return self._object(oid, ObjectType.TREE)

    def blob(self, oid: bytes) -> bytes:
        """Return the bytes of a blob."""
        return self._object(oid, ObjectType.BLOB)

    def size(self, oid: bytes) -> int:
        """Return the size of a blob without reading it."""
        return self._repository.odb.read_header(pygit2.Oid(raw=oid))[1]

    def _object(self, oid: bytes, wanted: ObjectType) -> bytes:
        kind, data = self._repository.odb.read(pygit2.Oid(raw=oid))
        if kind != wanted:
            raise Terminal(f"the object {oid.hex()} is no {wanted.name.lower()}", help="the repository is damaged")
        return data

    def _commit_of(self, oid: pygit2.Oid) -> Commit:
        commit = self._repository[oid].peel(pygit2.Commit)
        author = commit.author
        name = f"{_text(author.raw_name)} <{_text(author.raw_email)}>"
        at = _time(commit.commit_time)
        subject = _text(commit.raw_message).strip().split("\n", 1)[0]
        return Commit(str(commit.id), name, at, subject[:200])


@contextmanager
def _git_errors(what: str) -> Iterator[None]:
    """Turn libgit2's errors about the mirror into ours."""
    try:
        yield
    except (pygit2.GitError, KeyError, ValueError, OSError) as error:
        raise Transient(f"{what}: {error}", help="it is tried again") from error


def check_libgit2(version: str) -> None:
    """Refuse a libgit2 that is too old. Raises SettingsError."""
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if found < OLDEST_LIBGIT2:
        oldest = ".".join(map(str, OLDEST_LIBGIT2))
        raise SettingsError(f"libgit2 {version} is too old; at least {oldest} is needed", help="install a newer pygit2")


def _check_access(settings: GitSettings, transport: Transport) -> None:
    """Refuse settings that would leak or trust too much. Raises SettingsError."""
    if "://" in settings.url and urlsplit(settings.url).password:
        raise SettingsError("git.url holds a password", help="put it into a file and name that in git.token")
    has_token = settings.token.file is not None or settings.token.env is not None
    if transport is Transport.HTTPS and has_token and is_plaintext(settings.url):
        raise SettingsError("git.url is http://, which would send git.token in the clear", help="use https://")
    if transport is Transport.SSH and settings.known_hosts is None:
        raise SettingsError(
            "ssh without git.knownHosts would trust any host",
            help="write the host's keys to a file (ssh-keyscan HOST, then compare) and name it in git.knownHosts",
        )
    if settings.known_hosts is not None and not settings.known_hosts.is_file():
        raise SettingsError(f"there is no file {settings.known_hosts}", help="check git.knownHosts")


def _home_for(settings: GitSettings, state_dir: Path, transport: Transport) -> str:
    """Make the home in which libgit2 finds the host keys to accept; "" where there are none."""
    if transport is not Transport.SSH or settings.known_hosts is None:
        return ""
    # libgit2 looks for known_hosts in one place only: .ssh below its home.
    home = state_dir.absolute() / "git" / "home"
    (home / ".ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(settings.known_hosts, home / ".ssh" / "known_hosts")
    return str(home)


def _open(path: Path) -> pygit2.Repository:
    """Open the mirror, or make it; one that cannot be opened is made anew, for it is only a copy."""
    try:
        if path.exists():
            try:
                return pygit2.Repository(str(path))
            except pygit2.GitError:
                shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return pygit2.init_repository(str(path), bare=True)
    except (pygit2.GitError, OSError) as error:
        raise SettingsError(f"cannot make the mirror {path}: {error}", help="check stateDir and its owner") from error


def _read(secret: Secret) -> str:
    value = secret.read()
    return value.get_secret_value() if value is not None else ""


def _short_digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _time(seconds: int) -> datetime:
    """Return a commit's time; one beyond the calendar, which anybody can write, as the nearest that can be counted."""
    return datetime.fromtimestamp(min(max(seconds, 0), _LAST_SECOND), UTC)


_LAST_SECOND = int(datetime(2199, 12, 31, tzinfo=UTC).timestamp())


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
