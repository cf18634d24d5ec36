"""The one place where secrets are taken out of what people, files and networks get to see.

Known secrets are matched literally; unknown ones by shape (tokens, keys, credentials in URLs) or by the name they stand
under. Redacting twice changes nothing, and commit ids, digests and versions stay as they are.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from reconciler.desired.base import Json
from reconciler.settings import Secret

HIDDEN = "***"
# A shorter secret would blank out ordinary words wherever they stand.
_SHORTEST = 6
_CUT = "..."
_TO_LAST_SPACE = re.compile(r".*\s", re.DOTALL)
_FROM_FIRST_SPACE = re.compile(r"\s.*", re.DOTALL)
_DEEPEST = 64
_ROUNDS = 8

_NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credentials?|(?:api|access|private|secret|signing|encryption)[_-]?key"
    r"|(?:account|shared[_-]?access)[_-]?key|x-amz-signature|x-amz-security-token|x-goog-signature|(?<![a-z])sig)"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "credentials", "authorization",
     "cookie", "apikey"}
)  # fmt: skip
_SECRET_KEYS = frozenset({"api", "access", "private", "secret", "signing", "encryption", "account"})
_VALUE = r"""(?P<value>\\?"(?:[^"\\]|\\(?!")[^\n])*|\\?'[^'\\\n]*|[^\s"'\\,;&(){}\[\]<>]+)"""

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
_URL_USER = re.compile(r"(?i)\b(?P<scheme>[a-z][a-z0-9+.-]{0,20}):/{2}(?P<user>[^/?#\s\"'<>]{1,2048})@")
_HEADER = re.compile(
    r"(?i)(?P<name>\b(?:authorization|(?:set-)?cookie)\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?)(?P<value>[^\r\n\"'\\]+)"
)
_SCHEME = re.compile(
    r"(?i)\b(?P<name>bearer|basic)(?P<gap>\s{1,4})(?P<value>(?=\S*(?-i:[0-9A-Z._~+/=])|\S{20})[\w.~+/=-]{6,})"
)
_NAMED = re.compile(rf"(?i)(?P<name>{_NAMES}\\?[\"']?\s{{0,4}}[:=]\s{{0,4}}){_VALUE}")
_SHAPES = re.compile(
    r"\b(?:(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|xox[abeprs]-[\w-]{10,}"
    r"|AIza[\w-]{35}|sk-[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
)
# Nearly all texts hold none of these, which costs a tenth of the patterns to find out.
_SUSPICIOUS = (
    "://", "-----begin", "pass", "pwd", "secret", "token", "credential", "key", "auth", "cookie", "bearer", "basic",
    "sig", "akia", "asia", "abia", "acca", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat-", "hf_", "xox",
    "aiza", "sk-", "eyj",
)  # fmt: skip


class Redactor:
    """Redacts text and JSON values; `secrets` are the values that this process was given.

    `learnt` returns those that it came to know since, such as rotated ones.
    """

    def __init__(
        self, secrets: Iterable[str | SecretStr] = (), learnt: Callable[[], Collection[str]] = frozenset[str]
    ) -> None:
        self._given = frozenset(form for secret in secrets for form in _forms(secret))
        self._learnt = learnt
        self._prepared: tuple[Collection[str], tuple[str, ...]] = (), _longest_first(self._given)

    @property
    def _known(self) -> tuple[str, ...]:
        before, forms = self._prepared
        now = self._learnt()
        if now != before:
            forms = _longest_first(self._given.union(*(_forms(secret) for secret in now)))
            self._prepared = now, forms
        return forms

    def redact_text(self, text: str) -> str:
        """Return the text without secrets."""
        for _ in range(_ROUNDS):
            redacted = self._once(text)
            if redacted == text:
                break
            text = redacted
        return text

    def redact(self, value: object) -> Json:
        """Return the value as JSON without secrets; what is no JSON is taken as its text."""
        return self._redact(value, _DEEPEST)

    def _once(self, text: str) -> str:
        # A pattern of them all would be tried at each character; hardly a text holds one.
        found = [form for form in self._known if form in text]
        if found:
            text = re.sub("|".join(map(re.escape, found)), HIDDEN, text)
        lowered = text.lower()
        if not any(mark in lowered for mark in _SUSPICIOUS):
            return text
        text = _PEM.sub(HIDDEN, text)
        text = _URL_USER.sub(_hide_user, text)
        text = _HEADER.sub(_hide_value, text)
        text = _SCHEME.sub(rf"\g<name>\g<gap>{HIDDEN}", text)
        text = _NAMED.sub(_hide_value, text)
        return _SHAPES.sub(HIDDEN, text)

    def _redact(self, value: object, depth: int) -> Json:
        if isinstance(value, Mapping) and depth:
            return dict(self._item(str(key), item, depth) for key, item in value.items())
        if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes | bytearray) and depth:
            return [self._redact(item, depth - 1) for item in value]
        return self._leaf(value)

    def _leaf(self, value: object) -> Json:
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        return HIDDEN if isinstance(value, Mapping | list | tuple) else self.redact_text(str(value))

    def _item(self, key: str, value: object, depth: int) -> tuple[str, Json]:
        shown = self.redact_text(key)
        # Also by the name as it is shown, so that redacting again finds nothing new.
        if (is_sensitive(key) or is_sensitive(shown)) and value not in (None, "", True, False):
            return shown, HIDDEN
        return shown, self._redact(value, depth - 1)


def is_sensitive(name: str) -> bool:
    """Tell whether a value under this name is a secret, such as dbPassword or api_key, but not tokenFile."""
    words = [word.lower() for word in _WORD.findall(name)[-2:]]
    return words[-1:] != [] and (words[-1] in _SECRET_WORDS or (words[-1] == "key" and words[0] in _SECRET_KEYS))


def secrets_of(settings: BaseModel) -> tuple[SecretStr, ...]:
    """Read every secret that the settings name. Raises SettingsError when one cannot be read."""
    return tuple(secret for place in _places(settings) if (secret := place.read()) is not None)


def all_secrets(settings: BaseModel) -> tuple[SecretStr, ...]:
    """Read every secret that the settings name, and find those that stand in their URLs. Raises SettingsError."""
    return (*secrets_of(settings), *(SecretStr(secret) for secret in _beside(settings)))


def _beside(section: BaseModel) -> Iterator[str]:
    """Yield what URLs hold, and user and password as they travel together in Basic authorization."""
    values = dict(section)
    for value in values.values():
        if isinstance(value, BaseModel) and not isinstance(value, Secret):
            yield from _beside(value)
        elif isinstance(value, str):
            yield from _in_url(value)
    user, password = values.get("username"), values.get("password")
    if isinstance(user, str) and isinstance(password, Secret) and (secret := password.read()) is not None:
        yield f"{user}:{secret.get_secret_value()}"


def _in_url(text: str) -> Iterator[str]:
    if "://" not in text or "@" not in text:
        return
    try:
        parts = urlsplit(text)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError:
        return
    if password:
        yield from (password, f"{user}:{password}")
    elif parts.scheme in ("http", "https"):
        yield user  # a lone name is a token


def _longest_first(forms: Collection[str]) -> tuple[str, ...]:
    """Order them so that a secret that is the beginning of another does not leave its end."""
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _places(section: BaseModel) -> Iterator[Secret]:
    for _, value in section:
        if isinstance(value, Secret):
            yield value
        elif isinstance(value, BaseModel):
            yield from _places(value)


def _forms(secret: str | SecretStr) -> Iterator[str]:
    """Yield a secret as it stands in texts, URLs, JSON and headers."""
    text = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    if len(text) < _SHORTEST or not text.strip("* \t\r\n"):
        return
    raw = text.encode("utf-8", "surrogatepass")
    yield text
    yield quote(raw, safe="")
    yield json.dumps(text)[1:-1]
    yield base64.b64encode(raw).decode().rstrip("=")


def _hide_user(found: re.Match[str]) -> str:
    scheme, user = found["scheme"], found["user"]
    # git@ in an ssh address is a login name; anywhere else a lone name may be a token.
    keep = scheme.lower().endswith("ssh") and ":" not in user
    return found[0] if keep else f"{scheme}://{HIDDEN}@"


def _hide_value(found: re.Match[str]) -> str:
    value = found["value"]
    opening = re.match(r"\\?[\"']?", value)
    return f"{found['name']}{opening[0] if opening else ''}{HIDDEN}"


_BY_SHAPE = Redactor()


def first_words(text: str, longest: int) -> str:
    """Return what a text begins with, without secrets and in at most so many characters.

    What is cut off may have been all that told a secret: so secrets go first, and no word stays in part.
    """
    shown = _BY_SHAPE.redact_text(text).strip()
    if len(shown) <= longest:
        return shown
    kept = _TO_LAST_SPACE.match(shown[: longest - len(_CUT)])
    return f"{kept[0].rstrip()} {_CUT}" if kept else _CUT


def last_words(text: str, longest: int) -> str:
    """Return what a text ends with, in the same way."""
    shown = _BY_SHAPE.redact_text(text).strip()
    if len(shown) <= longest:
        return shown
    kept = _FROM_FIRST_SPACE.search(shown[len(_CUT) - longest :])
    return f"{_CUT} {kept[0].lstrip()}" if kept else _CUT
