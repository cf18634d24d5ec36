"""Addresses of repositories: what kind they are, and how they are shown without what they may hide."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from urllib.parse import urlsplit

from reconciler.errors import SettingsError

_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s]+@")
_SCP_LIKE = re.compile(r"^(?:[^@/\s:]+@)?[^/\s:]{2,}:(?!//)")


class Transport(Enum):
    """How a repository is reached."""

    LOCAL = "local"
    HTTPS = "https"
    SSH = "ssh"


def transport_of(url: str) -> Transport:
    """Return how an address is reached. Raises SettingsError for one that is not supported."""
    scheme = urlsplit(url).scheme.lower() if "://" in url else ""
    match scheme:
        case "file":
            return Transport.LOCAL
        case "https" | "http":
            return Transport.HTTPS
        case "ssh" | "git+ssh" | "ssh+git":
            return Transport.SSH
        case "":
            return Transport.SSH if _SCP_LIKE.match(url) else Transport.LOCAL
    raise SettingsError(
        f"git.url: the scheme {scheme}:// is not supported", help="use a path, file://, https:// or ssh://"
    )


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Remove user names and passwords of URLs, and every given secret, from a text."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _USERINFO.sub(r"\g<scheme>***@", text)


def is_plaintext(url: str) -> bool:
    """Tell whether credentials would travel unencrypted to another host."""
    parts = urlsplit(url)
    return parts.scheme.lower() == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")
