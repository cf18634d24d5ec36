"""Addresses and what of them is shown."""

from __future__ import annotations

import pytest

from reconciler.source.address import Transport, redact, transport_of

TRANSPORTS = {
    ".": Transport.LOCAL,
    "/srv/models.git": Transport.LOCAL,
    "./a:b": Transport.LOCAL,
    "file:///srv/models.git": Transport.LOCAL,
    "https://example.org/a.git": Transport.HTTPS,
    "ssh://git@example.org/a.git": Transport.SSH,
    "git@example.org:a/b.git": Transport.SSH,
    "example.org:a/b.git": Transport.SSH,
}


@pytest.mark.parametrize("url", TRANSPORTS)
def test_transport(url: str) -> None:
    assert transport_of(url) is TRANSPORTS[url]


REDACTED = {
    "cannot reach https://me:pw@example.org/a.git": "cannot reach https://***@example.org/a.git",
    "ssh://git@example.org": "ssh://***@example.org",
    "the token abc123 was refused": "the token *** was refused",
    "https://example.org/@home": "https://example.org/@home",
}


@pytest.mark.parametrize("text", REDACTED)
def test_redacted(text: str) -> None:
    assert redact(text, ("abc123", "")) == REDACTED[text]
