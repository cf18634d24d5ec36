"""What people read of settings that cannot be used: each problem, where it stands and what was meant."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from reconciler.errors import SettingsError
from reconciler.settings import load_settings

SECRET = "write {file: ...} or {env: ...}, which say where it stands, never the secret itself"


def refused(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return what is said of these settings, with the file's name alone."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings(file, environ or {})
    assert "`reconciler config`" in error.value.help
    return error.value.message.replace(str(file), "settings.yaml").split("\n  ")


IN_FILE = {
    "a name much like another": (
        "mlflow: {trackingUrl: x}",
        "there is no setting mlflow.trackingUrl (settings.yaml); did you mean mlflow.trackingUri?",
    ),
    "a name of another section": (
        "trackingUri: x",
        "there is no setting trackingUri (settings.yaml); did you mean mlflow.trackingUri?",
    ),
    "a name like none": ("zzz: 1", "there is no setting zzz (settings.yaml)"),
    "text for a number": (
        "http: {port: many}", "setting http.port (settings.yaml) must be a whole number, not text",
    ),
    "a number for text": ("git: {ref: 7}", "setting git.ref (settings.yaml) must be text, not a number"),
    "too large a number": ("http: {port: 70000}", "setting http.port (settings.yaml) must be at most 65535"),
    "text for a section": (
        "mlflow: here", "setting mlflow (settings.yaml) must be a mapping of further settings, not text",
    ),
    "text for a list": (
        "kubernetes: {namespaces: models}", "setting kubernetes.namespaces (settings.yaml) must be a list, not text",
    ),
    "a number in a list": (
        "kubernetes: {namespaces: [models, 7]}",
        "setting kubernetes.namespaces[1] (settings.yaml) must be text, not a number",
    ),
    "no such choice": ("log: {level: loud}", "setting log.level (settings.yaml) must be debug, info, warning or error"),
    "no such choice of an enumeration": (
        "mlflow: {writes: none}", "setting mlflow.writes (settings.yaml) must be stages, aliases or both",
    ),
    "a duration without a unit": (
        "loop: {interval: 600}",
        ("setting loop.interval (settings.yaml) is not a duration: 600. Write a number with a unit, such as "
        '"250ms", "90s", "10m", "2h" or "30d": write "600s" or "10m"'),
    ),
    "what a check of ours refuses": (
        "kubernetes: {serviceUrl: x}",
        ("setting kubernetes.serviceUrl (settings.yaml) cannot be used: an http or https address is needed that names "
        "{service}, and mostly {namespace}"),
    ),
    "a short commit id": (
        "git: {acceptRewrite: abc}", "setting git.acceptRewrite (settings.yaml) must match ^([0-9a-f]{40})?$",
    ),
    "a secret itself": ("git: {token: pl4nted}", f"setting git.token (settings.yaml) is a secret: {SECRET}"),
    "a secret as a name": ("git: {token: {pl4nted}}", f"setting git.token (settings.yaml) is a secret: {SECRET}"),
    "a secret as a list": (
        "mlflow: {password: [pl4nted]}", f"setting mlflow.password (settings.yaml) is a secret: {SECRET}",
    ),
    "a number for a secret's file": (
        "git: {token: {file: 7}}", "setting git.token.file (settings.yaml) must be a path, not a number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IN_FILE)
def test_a_file_is_told_by_its_name_with_what_was_meant(case: str, tmp_path: Path) -> None:
    text, said = IN_FILE[case]
    assert refused(tmp_path, text) == [said]


BY_VARIABLE = {
    "a misspelt one": (
        {"RECONCILER_MLFLOW__TRACKNG_URI": "x"},
        (
            "there is no setting mlflow.trackngUri (environment variable RECONCILER_MLFLOW__TRACKNG_URI); did you mean "
            "mlflow.trackingUri, by RECONCILER_MLFLOW__TRACKING_URI?"
        ),
    ),
    "text for a number": (
        {"RECONCILER_HTTP__PORT": "many"},
        "setting http.port (environment variable RECONCILER_HTTP__PORT) must be a whole number, not text",
    ),
    "a section as a whole": (
        {"RECONCILER_LOG": '{"level": "loud"}'},
        "setting log.level (environment variable RECONCILER_LOG) must be debug, info, warning or error",
    ),
    "a setting below another": (
        {"RECONCILER_GIT__URL__X": "x"},
        "setting git.url (environment variable RECONCILER_GIT__URL__X) must be text, not a mapping",
    ),
    "a secret itself": (
        {"RECONCILER_GIT__TOKEN": "pl4nted"},
        f"setting git.token (environment variable RECONCILER_GIT__TOKEN) is a secret: {SECRET}",
    ),
}


@pytest.mark.parametrize("case", BY_VARIABLE)
def test_an_environment_variable_is_told_by_its_own_name(case: str, tmp_path: Path) -> None:
    environ, said = BY_VARIABLE[case]
    assert refused(tmp_path, "git: {ref: main}", environ) == [said]


def test_all_problems_are_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    text = "mlflow: {trackingUrl: x}\nhttp: {port: many}\ngit: {token: pl4nted}\n"
    first, *rest = refused(tmp_path, text, {"RECONCILER_LOG__LEVEL": "loud"})
    assert first == "4 settings cannot be used:"
    assert {line.split("(")[1].split(")")[0] for line in rest} == {
        "settings.yaml", "environment variable RECONCILER_LOG__LEVEL",
    }  # fmt: skip
    assert len(rest) == 4


def test_a_variable_below_one_that_is_a_value_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("git: {url: here}")
    with pytest.raises(SettingsError, match=r"variable RECONCILER_GIT__URL__X is of a setting below git\.url, which"):
        load_settings(tmp_path / "settings.yaml", {"RECONCILER_GIT__URL__X": "x"})


def test_a_variable_that_is_no_yaml_is_named_and_not_quoted() -> None:
    with pytest.raises(SettingsError, match="the environment variable RECONCILER_GIT__TOKEN is no YAML") as error:
        load_settings(None, {"RECONCILER_GIT__TOKEN": "{pl4nted"})
    assert "pl4nted" not in str(error.value)


@pytest.mark.parametrize("text", [text for text, _ in IN_FILE.values() if "pl4nted" in text] + ["git: {tokn: pl4nted}"])
def test_no_secret_is_quoted_not_even_in_a_traceback(text: str, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path / "settings.yaml", {})
    assert "pl4nted" not in "".join(traceback.format_exception(error.value))
