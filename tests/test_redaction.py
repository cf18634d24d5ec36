"""Secrets go, everything else stays."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.redaction import HIDDEN, Redactor, first_words, is_sensitive, last_words, secrets_of
from reconciler.settings import Secret, load_settings, secrets_read

PLANTED = 'pl4nted/s3cret "quoted" value'
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabc\n-----END RSA PRIVATE KEY-----"

SECRETS = {
    "a bearer token": ("Bearer abcDEF123456", "abcDEF123456"),
    "a bearer token in lower case letters": ("authorization: bearer abcdefghijklmnop", "abcdefghijklmnop"),
    "a long bearer token without its header": ("sent bearer abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx"),
    "basic auth": ("Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
    "a header as Python writes it": ("{'Authorization': 'ApiKey Zm9v'}", "Zm9v"),
    "a cookie": ("Cookie: session=abc; other=def", "def"),
    "user and password in a URL": ("https://ana:hunter2@git.example/repo", "hunter2"),
    "a password with an at sign in a URL": ("https://ana:hun@ter2@git.example/repo", "ter2"),
    "a token alone in a URL": ("cannot fetch https://ghtoken77@git.example/repo", "ghtoken77"),
    "a database URL": ("postgresql+psycopg://app:hunter2@db/ledger", "hunter2"),
    "a token as a query parameter": ("GET /x?access_token=abc123&page=2", "abc123"),
    "a signed URL": ("https://s3/x?X-Amz-Signature=99aaff&X-Amz-Date=1", "99aaff"),
    "a private key": (f"key is {KEY} end", "MIIEpAIBAAKCAQEA7"),
    "a private key that was cut off": (KEY[:50], "MIIEpAIBAAKCAQEA7"),
    "a private key in JSON": (json.dumps({"x": KEY}), "MIIEpAIBAAKCAQEA7"),
    "an AWS key id": ("key AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    "an AWS secret": ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
    "a GitHub token": ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdef"),
    "a JSON web token": ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.sflKxwRJ", "sflKxwRJ"),
    "a password in YAML": ("dbPassword: hunter2", "hunter2"),
    "a password in JSON": ('{"password": "two words", "x": 1}', "words"),
    "a password in JSON in JSON": (json.dumps('{"password": "two words"}'), "words"),
    "a known secret": (f"failed with {PLANTED}!", "s3cret"),
    "a known secret in a URL": (f"/x?q={quote(PLANTED, safe='')}", "s3cret"),
    "a known secret in JSON": (json.dumps({"x": PLANTED}), "s3cret"),
    "a known secret in base64": (base64.b64encode(PLANTED.encode()).decode(), "cGw0bnRlZC9zM2NyZXQ"),
}

HARMLESS = [
    "4f2c1ab",
    "9be0d13f0e2a4c77b1d3c5e8f90a1b2c3d4e5f60",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "3.17.0",
    "version 44 was rejected: p95 212 ms > 180 ms (5 of 5 checks, 1,204 requests)",
    "reconciler.dev/training-key=iris-1a2b3c4d5e",
    "s3://models/mlflow/1/abc/artifacts/model",
    "ssh://git@git.example/team/models.git",
    "git@git.example:team/models.git",
    "ana <ana@example.org>",
    "http://127.0.0.1:5000/api/2.0/mlflow/registered-models/get?name=iris",
    "basic training and bearer authentication",
    "max_tokens: 12",
    "the token is missing",
    "signature: compatible",
    "the design=7",
]


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS)
def test_a_secret_is_taken_out_of_text(text: str, secret: str) -> None:
    assert secret in text
    redacted = Redactor([PLANTED]).redact_text(text)
    assert secret not in redacted
    assert HIDDEN in redacted


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor([PLANTED]).redact_text(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    text = "GET https://ana:hunter2@git.example/repo?token=abc&page=2 said 403, commit 4f2c1ab"
    assert Redactor().redact_text(text) == "GET https://***@git.example/repo?token=***&page=2 said 403, commit 4f2c1ab"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("password", "dbPassword", "API_KEY", "apiKey", "X-Auth-Token", "secretAccessKey")),
        *((name, True) for name in ("Authorization", "set-cookie", "APIToken", "client.secret", "passphrase")),
        *((name, False) for name in ("tokenFile", "max_tokens", "training-key", "key", "secretName", "keyboard", "")),
        *((name, False) for name in ("commit", "digest", "version", "reconciler.dev/training-key", "signature")),
    ],
)
def test_names_of_secrets(name: str, expected: bool) -> None:
    assert is_sensitive(name) is expected


def test_values_are_redacted_at_any_depth_and_by_the_name_they_stand_under() -> None:
    value = {
        "version": 7,
        "share": 0.5,
        "list": [{"token": "abc"}, "Bearer abcDEF123"],
        "credentials": {"user": "ana", "value": "x"},
        "empty": {"password": "", "secret": None, "token": True},
        f"key with {PLANTED}": "x",
    }
    assert Redactor([PLANTED]).redact(value) == {
        "version": 7,
        "share": 0.5,
        "list": [{"token": HIDDEN}, f"Bearer {HIDDEN}"],
        "credentials": HIDDEN,
        "empty": {"password": "", "secret": None, "token": True},
        f"key with {HIDDEN}": "x",
    }


def test_what_is_no_json_becomes_text() -> None:
    assert Redactor([PLANTED]).redact({"error": ValueError(PLANTED), "metrics": [float("nan"), float("inf")]}) == {
        "error": HIDDEN,
        "metrics": ["nan", "inf"],
    }


def test_nesting_without_end_is_cut_off() -> None:
    value: list[object] = []
    value.append(value)
    assert HIDDEN in json.dumps(Redactor().redact(value))


def test_a_short_secret_does_not_blank_out_words() -> None:
    assert Redactor(["main", ""]).redact_text("the branch main") == "the branch main"


def test_a_secret_that_begins_another_does_not_leave_its_end() -> None:
    assert Redactor(["abcdef", "abcdefghi"]).redact_text("x abcdefghi y") == "x *** y"


def test_long_hostile_text_takes_no_longer_than_its_length() -> None:
    redactor, started = Redactor(), time.perf_counter()
    for part in ("a://", "token=", "-----BEGIN PRIVATE KEY-----", "Bearer ", 'password="', "a.", "eyJ", "://a@", "a:"):
        redactor.redact_text(part * (200_000 // len(part)))
    assert time.perf_counter() - started < 10


def test_many_secrets_are_looked_for_in_no_more_than_their_share_of_time() -> None:
    tokens = [base64.b64encode(random.Random(number).randbytes(24)).decode() for number in range(2_700)]
    redactor = Redactor(tokens)
    text, started = "all is as Git says, and nothing moves; " * 5_000, time.perf_counter()
    assert redactor.redact_text(text + tokens[-1]) == text + HIDDEN
    assert time.perf_counter() - started < 3


def test_of_each_place_what_it_holds_now_and_held_lately_is_hidden(tmp_path: Path) -> None:
    once, often = tmp_path / "once", tmp_path / "often"
    once.write_text("a-secret-read-once")
    Secret(file=once).read()
    for number in range(70):
        often.write_text(f"a-secret-rotated-{number:02d}")
        Secret(file=often).read()
    redactor = Redactor(learnt=secrets_read)
    assert redactor.redact_text("a-secret-read-once a-secret-rotated-69 a-secret-rotated-05") == "*** *** ***"
    assert redactor.redact_text("a-secret-rotated-04") == "a-secret-rotated-04"


def test_every_secret_that_the_settings_name_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    monkeypatch.setenv("KFP_TOKEN", "from-the-environment")
    environ = {
        "RECONCILER_GIT__TOKEN__FILE": str(tmp_path / "token"),
        "RECONCILER_TRAINING__TOKEN__ENV": "KFP_TOKEN",
    }
    redactor = Redactor(secrets_of(load_settings(None, environ)))
    assert redactor.redact_text("from-a-file, from-the-environment, from-elsewhere") == "***, ***, from-elsewhere"


_FRAGMENTS = st.sampled_from([
    "token=", "password: ", "https://", "a:b@", "@", "Bearer ", "Basic ", "***", "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----", '"', "'", "\\", "AKIAIOSFODNN7EXAMPLE", "eyJhbGciOi.eyJzdWIiOi", "planted", "secret",
    "authorization", ":", "=", " ", "\n", "/", "abc123DEF", "cookie", "api_key", "ghp_abcdefghijklmnopqrstuvwxyz",
])  # fmt: skip
_TEXTS = st.lists(_FRAGMENTS | st.text(max_size=8), max_size=12).map("".join)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)
_REDACTOR = Redactor(["planted-secret", "planted", "***abc***"])


@given(_TEXTS)
def test_redacting_text_twice_changes_nothing(text: str) -> None:
    once = _REDACTOR.redact_text(text)
    assert _REDACTOR.redact_text(once) == once


@given(_JSON)
def test_redacting_a_value_twice_changes_nothing(value: object) -> None:
    once = _REDACTOR.redact(value)
    assert _REDACTOR.redact(once) == once
    json.dumps(once, allow_nan=False)


@given(st.text(alphabet="0123456789abcdef", min_size=7, max_size=64), st.integers(0, 10**6))
def test_commit_ids_digests_and_versions_stay(hexadecimal: str, version: int) -> None:
    value = {
        "commit": hexadecimal,
        "digest": f"sha256:{hexadecimal}",
        "version": str(version),
        "release": f"{version}-{hexadecimal}",
    }
    assert Redactor(["planted-secret"]).redact(value) == value


@given(
    st.text(alphabet=st.characters(min_codepoint=33), min_size=6, max_size=40).filter(lambda s: s.strip("*")),
    st.text(max_size=20),
)
def test_a_known_secret_never_shows(secret: str, around: str) -> None:
    if secret in around + HIDDEN + around:
        return
    assert secret not in Redactor([secret]).redact_text(around + secret + around)


SAID = "nobody knows why the artifact was not fetched"
CUTS: dict[str, tuple[str, int, str, str]] = {
    "what fits stays": (SAID, len(SAID), SAID, SAID),
    "what does not fit loses whole words": (SAID, 30, "nobody knows why the ...", "... artifact was not fetched"),
    "a word that fits to its last letter stays": ("one two three", 11, "one two ...", "... three"),
    "lines are words too": ("one\ntwo\nthree four", 12, "one\ntwo ...", "... four"),
    "one endless word is not shown in part": ("x" * 99, 30, "...", "..."),
    "what stands around it is no part of a text": (f"  {SAID}\n", len(SAID), SAID, SAID),
}


@pytest.mark.parametrize("what", CUTS)
def test_a_long_text_is_cut_between_two_words(what: str) -> None:
    text, longest, first, last = CUTS[what]
    assert (first_words(text, longest), last_words(text, longest)) == (first, last)


TOLD = {
    "by its address": "https://svc:Sup3rS3cretPw@minio:9000/models/x",
    "by its name": "AWS_SECRET_ACCESS_KEY=Sup3rS3cretPw",
    "by its header": "Authorization: Basic Sup3rS3cretPw and Sup3rS3cretPw",
    "by its frame": "-----BEGIN PRIVATE KEY-----\nSup3rS3cretPw\nSup3rS3cretPw\n-----END PRIVATE KEY-----",
    "as one that is known only elsewhere": "Sup3rS3cretPw",
}
LONGEST = 100


@pytest.mark.parametrize("how", TOLD)
@pytest.mark.parametrize("cut", [first_words, last_words])
def test_wherever_a_text_is_cut_a_secret_loses_what_tells_it_and_shows_nowhere(
    cut: Callable[[str, int], str], how: str
) -> None:
    everywhere = Redactor(["Sup3rS3cretPw"])
    for before in range(2 * LONGEST):
        for after in (0, 2 * LONGEST - before):
            text = f"{'x ' * (before // 2)}{'y' * (before % 2)} {TOLD[how]} {'z ' * (after // 2)}"
            shown = everywhere.redact_text(cut(text, LONGEST))
            assert len(cut(text, LONGEST)) <= LONGEST
            assert "S3cret" not in shown
            assert "Sup3r" not in shown
            assert "Pw" not in shown
