"""Git by pygit2: a bare mirror, fetched and read without a checkout. Home of pygit2."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

import pygit2
from pygit2.enums import CredentialType, ObjectType

from reconciler.desired.repository import Assembler
from reconciler.desired.state import Commit, DesiredModel, DesiredState
from reconciler.errors import ReconcilerError, Refused, SettingsError, Terminal, Transient
from reconciler.ports import Clock, SourceStatus
from reconciler.settings import GitSettings, Secret
from reconciler.source.address import Transport, is_plaintext, redact, transport_of
from reconciler.source.history import leads_on, refusal
from reconciler.source.tree import TreeCache, TreeSnapshot

# Older ones follow redirects and check host keys in ways that were corrected since.
OLDEST_LIBGIT2 = (1, 7, 2)
_FETCHED = "refs/reconciler/fetched"
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")


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
        with _git_errors("cannot read the mirror", ()):
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
        with _git_errors(f"cannot read commit {commit.short}", ()):
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
        _configure(settings, state_dir, self._transport)
        self._repository = _open(state_dir / "git" / f"{_short_digest(settings.url)}.git")

    def fetch_tip(self) -> Commit:
        """Fetch what the settings follow, and return its commit. Raises Transient or Terminal."""
        access = _Access(self._settings, self._transport)
        shown = redact(self._settings.url)
        with _git_errors(f"cannot fetch {self._settings.ref} from {shown}", access.secrets, access):
            remote = self._repository.remotes.create_anonymous(self._url)
            proxy: Literal[True] | None = True if self._transport is Transport.HTTPS else None
            heads = {head.name: head.oid for head in remote.list_heads(callbacks=access, proxy=proxy)}
            return self._commit_of(self._fetch(remote, heads, access, proxy))

    def _fetch(
        self,
        remote: pygit2.Remote,
        heads: Mapping[str | None, pygit2.Oid],
        access: _Access,
        proxy: Literal[True] | None,
    ) -> pygit2.Oid:
        ref = self._settings.ref
        for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref):
            tip = heads.get(name)
            if tip is not None:
                if tip not in self._repository:
                    remote.fetch([f"+{name}:{_FETCHED}"], callbacks=access.again(), proxy=proxy)
                return tip
        if not _COMMIT_ID.fullmatch(ref):
            raise Terminal(
                f"there is no branch or tag {ref} in {redact(self._settings.url)}; the last good commit stays in force",
                help=f"check git.ref; it has {_some(heads)}",
            )
        return self._fetch_commit(remote, pygit2.Oid(hex=ref), access, proxy)

    def _fetch_commit(
        self, remote: pygit2.Remote, wanted: pygit2.Oid, access: _Access, proxy: Literal[True] | None
    ) -> pygit2.Oid:
        if wanted not in self._repository:
            # Not every server gives out a commit by its id, but all give out branches and tags.
            everything = ["+refs/heads/*:refs/reconciler/heads/*", "+refs/tags/*:refs/reconciler/tags/*"]
            remote.fetch(everything, callbacks=access.again(), proxy=proxy)
        if wanted not in self._repository:
            raise Terminal(
                f"there is no commit {wanted} in {redact(self._settings.url)}",
                help="check git.ref; a commit must be on a branch or a tag",
            )
        return wanted

    def good(self) -> Commit | None:
        """Return the last good commit that was kept."""
        reference = self._repository.references.get(self._good)
        return self.commit(str(reference.target)) if reference is not None else None

    def keep(self, commit: Commit) -> None:
        """Keep a commit as the last good one, across restarts."""
        with _git_errors("cannot write to the mirror", ()):
            self._repository.references.create(self._good, pygit2.Oid(hex=commit.id), force=True)

    def descends(self, new: str, old: str) -> bool:
        """Tell whether the first commit descends from the second; False where the mirror does not have both."""
        if new not in self._repository or old not in self._repository:
            return False
        with _git_errors("cannot read the history", ()):
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


class _Access(pygit2.RemoteCallbacks):
    """Gives credentials once, and accepts only hosts that TLS or known_hosts vouch for."""

    def __init__(self, settings: GitSettings, transport: Transport) -> None:
        super().__init__()
        self._settings = settings
        self._transport = transport
        self._asked = 0
        self._token = _read(settings.token) if transport is Transport.HTTPS else ""
        self._key = _read(settings.ssh_key) if transport is Transport.SSH else ""
        self._passphrase = _read(settings.ssh_passphrase) if transport is Transport.SSH else ""
        self.secrets = tuple(secret for secret in (self._token, self._key, self._passphrase) if secret)
        self.refused_host = ""

    def again(self) -> _Access:
        """Allow one more connection to ask for credentials."""
        self._asked = 0
        return self

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: CredentialType
    ) -> pygit2.credentials.Username | pygit2.UserPass | pygit2.Keypair:
        """Return the credentials of the settings; a server that asks twice has refused them."""
        del url
        if allowed_types & CredentialType.USERNAME:
            return pygit2.Username(username_from_url or self._settings.username)
        self._asked += 1
        if self._asked > 1:
            raise Terminal("the server refused the credentials", help=_ADVICE[self._transport])
        if allowed_types & CredentialType.USERPASS_PLAINTEXT and self._token:
            return pygit2.UserPass(self._settings.username, self._token)
        if allowed_types & CredentialType.SSH_MEMORY and self._key:
            user = username_from_url or self._settings.username
            # libssh2 wants the newline that reading the secret has cut off; it derives the public key itself.
            return pygit2.KeypairFromMemory(user, None, self._key + "\n", self._passphrase)
        raise Terminal("the server asks for credentials", help=_ADVICE[self._transport])

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
        """Accept a host only when it is known; by default every SSH host would be."""
        del certificate
        if not valid:
            self.refused_host = host.decode("utf-8", "replace")
        return valid


_ADVICE = {
    Transport.LOCAL: "",
    Transport.HTTPS: "set git.token (and git.username) to a token that may read the repository",
    Transport.SSH: "set git.sshKey to a private key whose public key may read the repository",
}


@contextmanager
def _git_errors(what: str, secrets: tuple[str, ...], access: _Access | None = None) -> Iterator[None]:
    """Turn libgit2's errors into ours, without anything secret in them."""
    try:
        yield
    except (pygit2.GitError, KeyError, ValueError, OSError) as error:
        if access is not None and access.refused_host:
            raise Terminal(
                f"{what}: the host key or certificate of {access.refused_host} is not trusted",
                help="for ssh add its key to git.knownHosts; for https add its authority to the system's certificates",
            ) from None
        # `from None`: libgit2's own message may hold the URL with its user and password.
        raise Transient(f"{what}: {redact(str(error), secrets)}", help="it is tried again") from None


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


def _configure(settings: GitSettings, state_dir: Path, transport: Transport) -> None:
    """Set what libgit2 has once for the whole process."""
    milliseconds = max(1, int(settings.timeout.total_seconds() * 1000))
    pygit2.settings.server_connect_timeout = milliseconds
    pygit2.settings.server_timeout = milliseconds
    if transport is Transport.SSH and settings.known_hosts is not None:
        # libgit2 looks for known_hosts in one place only: .ssh below its home.
        home = state_dir.absolute() / "git" / "home"
        (home / ".ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(settings.known_hosts, home / ".ssh" / "known_hosts")
        pygit2.settings.homedir = str(home)


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


def _some(heads: Mapping[str | None, object]) -> str:
    names = sorted(name.removeprefix("refs/heads/") for name in heads if name and name.startswith("refs/heads/"))
    return ("the branches " + ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")) if names else "no branches"


def _time(seconds: int) -> datetime:
    """Return a commit's time; one beyond the calendar, which anybody can write, as the nearest that can be counted."""
    return datetime.fromtimestamp(min(max(seconds, 0), _LAST_SECOND), UTC)


_LAST_SECOND = int(datetime(2199, 12, 31, tzinfo=UTC).timestamp())


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
