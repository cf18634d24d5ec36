"""The cause of a failure, dug out of a log."""

from __future__ import annotations

import pytest

from reconciler.systems.training.failure import LIMIT, bounded, cause_in

HEAD = "16:09:42.001 - INFO - Executing task \x1b[96m'train'\x1b[0m\n16:09:42.001 - INFO - Streamed logs:\n\n"
END = "16:09:46.837 - ERROR - Task \x1b[96m'train'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m\n" + "-" * 80
FRAME = '      File "/x.py", line 1, in f\n        g(\n      File "/y.py", line 2, in g\n        raise\n'
TRACE = "    Traceback (most recent call last):\n" + FRAME


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (HEAD + TRACE + "    ValueError: no column\n" + END, "step train: ValueError: no column"),
        (HEAD + TRACE + "    a.b.ApiError: said\n    \n    - more: of it\n" + END, "step train: a.b.ApiError: said"),
        (HEAD + TRACE + "    KeyboardInterrupt\n" + END, "step train: KeyboardInterrupt"),
        (
            HEAD + TRACE + "    KeyError: 'a'\n    \n    The above exception was the direct cause of ...:\n    \n"
            + TRACE + "    ValueError: b\n" + END,
            "step train: ValueError: b",
        ),
        (HEAD + "    Loading data\n" + END, "step train: ended without an exception; its last words: Loading data"),
        (HEAD + END, "step train: ended without a word, as when the system kills it for lack of memory"),
        ("Traceback (most recent call last):\n  File \"x\"\nRuntimeError: no step yet\n", "RuntimeError: no step yet"),
        ("", "ended without a word, as when the system kills it for lack of memory"),
    ],
    ids=["the exception", "its first line", "without words", "the last of a chain", "no exception", "silence",
         "before any step", "an empty log"],
)  # fmt: skip
def test_the_cause_is(log: str, cause: str) -> None:
    assert cause_in(log) == cause


def test_a_cause_is_never_longer_than_a_status() -> None:
    assert LIMIT - 10 < len(bounded("word " * 10_000)) <= LIMIT
    assert bounded("x" * LIMIT) == "x" * LIMIT


def test_a_cause_shows_no_secret_that_its_end_cut_off_from_what_tells_it() -> None:
    cause = bounded(f"ConnectionError: {'x ' * 230}https://svc:Sup3rS3cretPw@minio:9000/models")
    assert "Sup3r" not in cause
    assert cause.startswith("ConnectionError: x x")
