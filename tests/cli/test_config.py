"""`reconciler config`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.errors import SettingsError
from reconciler.settings import load_settings
from tests.cli.conftest import Run


def test_every_setting_that_is_listed_can_be_set_by_its_variable(run: Run) -> None:
    settings = json.loads(run("config", "-o", "json").stdout)
    samples = {"duration": "90s", "number": "7", "mapping": '{"a": "b"}', "list": '["models"]'}
    particular = {"git.acceptRewrite": "a" * 40, "kubernetes.serviceUrl": "http://{service}.{namespace}:8080"}
    environ = {}
    for setting in settings:
        kind = setting["type"]
        if setting["path"] in particular:
            environ[setting["variable"]] = particular[setting["path"]]
            continue
        environ[setting["variable"]] = samples.get(kind, kind.split(" or ")[0] if " or " in kind else "some-text")
    loaded = load_settings(None, environ)
    assert loaded.loop.interval.total_seconds() == 90
    assert loaded.mlflow.tracking_uri == "some-text"
    assert str(loaded.git.token.file) == "some-text"
    assert loaded.kubernetes.namespaces == ("models",)
    assert len(settings) == len({setting["path"] for setting in settings}) > 40


@pytest.mark.parametrize(
    "url", ["{service}", "http://gateway", "http://{service}.{zone}", "http://{service", "http://{0}.{service}"]
)
def test_the_address_of_a_service_names_it_and_nothing_else(url: str) -> None:
    with pytest.raises(SettingsError, match=r"kubernetes\.serviceUrl"):
        load_settings(None, {"RECONCILER_KUBERNETES__SERVICE_URL": url})


def test_each_line_has_type_default_and_meaning(run: Run) -> None:
    done = run("config")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("loop.interval ")]
    assert [cell.strip() for cell in line.split("  ") if cell] == [
        "loop.interval",
        "duration",
        "3m",
        "Every model is looked at at least this often.",
    ]
    assert "RECONCILER_MLFLOW__TRACKING_URI" in done.stderr


def test_markdown_is_one_table(run: Run) -> None:
    lines = run("config", "-o", "markdown").stdout.splitlines()
    assert {line.count(" | ") for line in lines if not line.startswith("|---")} == {4}
    assert "| `http.port` | number | `8765` | `RECONCILER_HTTP__PORT` |" in "\n".join(lines)


def test_what_is_in_force_says_where_it_comes_from(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.yaml").write_text("git: {ref: prod}\nlog: {level: debug}\n")
    monkeypatch.setenv("RECONCILER_LOG", '{"level": "error"}')
    found = json.loads(run("config", "show", "-c", "settings.yaml", "-o", "json").stdout)
    assert found["git.ref"] == {"value": "prod", "from": "file"}
    assert found["log.level"] == {"value": "error", "from": "environment"}
    assert found["http.port"] == {"value": "8765", "from": "default"}


def test_secrets_are_never_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("pl4nted-s3cret")
    (tmp_path / "settings.yaml").write_text(
        "ledgerUrl: postgresql://ana:pl4nted-pw@db/ledger\ngit: {token: {file: token}}\n"
    )
    for output in ("text", "json"):
        shown = run("config", "show", "-c", "settings.yaml", "-o", output).stdout
        assert "pl4nted" not in shown
        assert "token" in shown


@pytest.mark.parametrize(
    ("settings", "said"),
    {
        "a misspelt setting": ("gitt: {}", "setting gitt"),
        "a wrong value": ("http: {port: many}", "setting http.port"),
        "a secret that is not there": ("git: {token: {file: nowhere}}", "cannot read the secret file nowhere"),
    }.values(),
)
def test_settings_that_cannot_be_used_are_named(run: Run, tmp_path: Path, settings: str, said: str) -> None:
    (tmp_path / "settings.yaml").write_text(settings)
    done = run("config", "validate", "-c", "settings.yaml")
    assert done.exit_code == 1
    assert said in done.stderr


def test_good_settings_are_said_to_be_good(run: Run) -> None:
    done = run("config", "validate")
    assert (done.exit_code, done.stdout.startswith("✔ the settings can be used")) == (0, True)
