"""One fetch, in a process of its own: reads what to fetch on stdin, writes what came of it on stdout.

libgit2 has no deadline for a whole fetch and no bound on what a server may make it keep; this process has both.
"""

from __future__ import annotations

import json
import math
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

import pygit2
from pygit2.enums import CredentialType

from reconciler.errors import ReconcilerError, Refused, Terminal, Transient
from reconciler.source.address import Transport, redact

FETCHED = "refs/reconciler/fetched"
COMMIT_ID = re.compile(r"[0-9a-f]{40}")
# What the process needs for itself.
_OVERHEAD = 128 * 1024 * 1024
_TOO_MUCH = "set git.mostMebibytes above the size of the repository, or find out why the server sends so much"


@dataclass(frozen=True, slots=True)
class Job:
    """What to fetch, and with whose credentials; `seconds` are for a whole fetch, `wait_seconds` for each answer."""

    mirror: str
    url: str
    shown: str
    ref: str
    transport: str
    username: str
    token: str
    key: str
    passphrase: str
    home: str
    wait_seconds: float
    seconds: float
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of it: the id of what was followed, or an error of ours by its name."""

    tip: str = ""
    error: str = ""
    message: str = ""
    help: str = ""


def main() -> None:
    """Fetch once. The process is ended by the kernel when the deadline is over, whoever waits for it or not."""
    job = Job(**json.load(sys.stdin))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, job.seconds)
    for what in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        _limit(what, job.most_bytes + _OVERHEAD)
    try:
        done = Fetched(tip=fetch_tip(job))
    except ReconcilerError as error:
        done = Fetched(error=type(error).__name__, message=error.message, help=error.help)
    except MemoryError:
        done = Fetched("", "Transient", f"cannot fetch {job.ref} from {job.shown}: out of memory", _TOO_MUCH)
    json.dump(asdict(done), sys.stdout)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def fetch_tip(job: Job) -> str:
    """Fetch what the job follows into the mirror, and return its id. Raises Transient, Refused or Terminal."""
    milliseconds = max(1, math.ceil(job.wait_seconds * 1000))
    pygit2.settings.server_connect_timeout = milliseconds
    pygit2.settings.server_timeout = milliseconds
    if job.home:
        pygit2.settings.homedir = job.home
    access = _Access(job)
    with _errors(f"cannot fetch {job.ref} from {job.shown}", access):
        repository = pygit2.Repository(job.mirror)
        remote = repository.remotes.create_anonymous(job.url)
        heads = {head.name: head.oid for head in remote.list_heads(callbacks=access, proxy=access.proxy)}
        return str(_fetch(job, repository, remote, heads, access))


def _fetch(
    job: Job,
    repository: pygit2.Repository,
    remote: pygit2.Remote,
    heads: Mapping[str | None, pygit2.Oid],
    access: _Access,
) -> pygit2.Oid:
    for name in (f"refs/heads/{job.ref}", f"refs/tags/{job.ref}", job.ref):
        tip = heads.get(name)
        if tip is not None:
            if tip not in repository:
                remote.fetch([f"+{name}:{FETCHED}"], callbacks=access.again(), proxy=access.proxy)
            return tip
    if not COMMIT_ID.fullmatch(job.ref):
        raise Terminal(
            f"there is no branch or tag {job.ref} in {job.shown}; the last good commit stays in force",
            help=f"check git.ref; it has {_some(heads)}",
        )
    wanted = pygit2.Oid(hex=job.ref)
    if wanted not in repository:
        # Not every server gives out a commit by its id, but all give out branches and tags.
        everything = ["+refs/heads/*:refs/reconciler/heads/*", "+refs/tags/*:refs/reconciler/tags/*"]
        remote.fetch(everything, callbacks=access.again(), proxy=access.proxy)
    if wanted not in repository:
        raise Terminal(
            f"there is no commit {wanted} in {job.shown}", help="check git.ref; a commit must be on a branch or a tag"
        )
    return wanted


class _Access(pygit2.RemoteCallbacks):
    """Gives credentials once, accepts only hosts that TLS or known_hosts vouch for, and no more than is wanted."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._transport = Transport(job.transport)
        self._asked = 0
        self._ends = time.monotonic() + job.seconds
        self.proxy: Literal[True] | None = True if self._transport is Transport.HTTPS else None
        self.secrets = tuple(secret for secret in (job.token, job.key, job.passphrase) if secret)
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
        user = username_from_url or self._job.username
        if allowed_types & CredentialType.USERNAME:
            return pygit2.Username(user)
        self._asked += 1
        if self._asked > 1:
            raise Terminal("the server refused the credentials", help=_ADVICE[self._transport])
        if allowed_types & CredentialType.USERPASS_PLAINTEXT and self._job.token:
            return pygit2.UserPass(self._job.username, self._job.token)
        if allowed_types & CredentialType.SSH_MEMORY and self._job.key:
            # libssh2 wants the newline that reading the secret has cut off; it derives the public key itself.
            return pygit2.KeypairFromMemory(user, None, self._job.key + "\n", self._job.passphrase)
        raise Terminal("the server asks for credentials", help=_ADVICE[self._transport])

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
        """Accept a host only when it is known; by default every SSH host would be."""
        del certificate
        if not valid:
            self.refused_host = host.decode("utf-8", "replace")
        return valid

    def transfer_progress(self, stats: pygit2.remotes.TransferProgress) -> None:
        """End a fetch that takes too long, or too much."""
        if stats.received_bytes > self._job.most_bytes:
            raise Refused(
                f"{self._job.shown} sends more than {self._job.most_bytes:,} bytes",
                help=_TOO_MUCH,
            )
        if time.monotonic() > self._ends:
            raise Transient(f"fetching from {self._job.shown} did not end in time", help="see git.deadline")


_ADVICE = {
    Transport.LOCAL: "",
    Transport.HTTPS: "set git.token (and git.username) to a token that may read the repository",
    Transport.SSH: "set git.sshKey to a private key whose public key may read the repository",
}


@contextmanager
def _errors(what: str, access: _Access) -> Iterator[None]:
    """Turn libgit2's errors into ours, without anything secret in them."""
    try:
        yield
    except (pygit2.GitError, KeyError, ValueError, OSError) as error:
        if access.refused_host:
            raise Terminal(
                f"{what}: the host key or certificate of {access.refused_host} is not trusted",
                help="for ssh add its key to git.knownHosts; for https add its authority to the system's certificates",
            ) from None
        # `from None`: libgit2's own message may hold the URL with its user and password.
        said = redact(str(error), access.secrets)
        too_much = any(sign in said.lower() for sign in ("out of memory", "file too large"))
        raise Transient(f"{what}: {said}", help=_TOO_MUCH if too_much else "it is tried again") from None


def _some(heads: Mapping[str | None, object]) -> str:
    names = sorted(name.removeprefix("refs/heads/") for name in heads if name and name.startswith("refs/heads/"))
    return ("the branches " + ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")) if names else "no branches"
