"""Settings of the service: one YAML file, overlaid by RECONCILER_... environment variables.

A variable names a setting by its path with double underscores: RECONCILER_MLFLOW__TRACKING_URI. Secrets are never
settings themselves: a setting names the file, or the environment variable, that holds one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.alias_generators import to_camel, to_snake

from reconciler.desired.duration import Duration, parse_duration
from reconciler.desired.yaml_nodes import Unparsable, read_documents
from reconciler.errors import SettingsError
from reconciler.registry_roles import RegistryWrites
from reconciler.settings_problems import Origins, Schema, explain

PREFIX = "RECONCILER_"
OPTIONS = frozenset({PREFIX + "CONFIG", PREFIX + "URL", PREFIX + "TOKEN", PREFIX + "TOKEN_FILE"})


class Section(BaseModel):
    """Base of every part of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Secret(Section):
    """Where a secret stands: in a file, or in an environment variable."""

    file: Path | None = None
    env: str | None = None

    def read(self) -> SecretStr | None:
        """Return the secret, None when nothing is configured. Raises SettingsError when it cannot be read."""
        value = self._read()
        if value is None:
            return None
        remember_secrets(str(self.file or f"${self.env}"), (value,))
        return SecretStr(value)

    def read_token(self) -> SecretStr | None:
        """Return the secret for an HTTP header, as `read`. Raises SettingsError too where no header can carry it."""
        secret = self.read()
        value = secret.get_secret_value() if secret else ""
        if not value.isascii() or not value.isprintable():
            # Said here, without the value: an HTTP client's own error would quote it.
            where = self.file or f"the environment variable {self.env}"
            raise SettingsError(
                f"the secret in {where} holds characters that no HTTP header can carry",
                help="a token is one line of plain ASCII",
            )
        return secret

    def _read(self) -> str | None:
        if self.file is not None:
            try:
                with self.file.open("rb") as file:
                    return file.read(_LARGEST_FILE).decode("utf-8").strip()
            except OSError as error:
                raise SettingsError(f"cannot read the secret file {self.file}: {error.strerror}") from error
            except ValueError:
                raise SettingsError(f"the secret file {self.file} is not UTF-8 text") from None
        if self.env is not None:
            value = os.environ.get(self.env)
            if not value:
                raise SettingsError(f"the environment variable {self.env} is named as a secret, but is not set")
            return value
        return None


# What was a secret once stays one: after a rotation the old one and the new one must both stay hidden.
_secrets_read: dict[str, tuple[str, ...]] = {}
_MOST_FORMER = 64


def remember_secrets(place: str, values: Collection[str]) -> None:
    """Have what a place holds now hidden wherever this process shows anything, and the last 64 that it held before."""
    now = tuple(dict.fromkeys(value for value in values if value))
    former = [value for value in _secrets_read.get(place, ()) if value not in now]
    _secrets_read[place] = (*former[-_MOST_FORMER:], *now)


def secrets_read() -> Collection[str]:
    """Return the secrets that this process has read, of each place the newest last."""
    return tuple(value for values in list(_secrets_read.values()) for value in values)


class GitSettings(Section):
    """Which repository to follow."""

    url: str = Field(default=".", description="A path, file://, https:// or ssh:// (also git@host:path).")
    ref: str = Field(default="main", description="A branch, a tag or a full commit id.")
    path: str = Field(default="", description="Only documents below this folder are read; empty for all.")
    poll_interval: Duration = parse_duration("60s")
    timeout: Duration = Field(default=parse_duration("30s"), description="To connect, and for each answer.")
    deadline: Duration = Field(default=parse_duration("5m"), description="For a whole fetch, the first one too.")
    most_mebibytes: int = Field(default=2048, ge=1, description="No fetch brings more, nor takes more memory.")
    username: str = Field(default="git", description="For https and ssh.")
    token: Secret = Secret()
    ssh_key: Secret = Secret()
    ssh_passphrase: Secret = Secret()
    known_hosts: Path | None = Field(default=None, description="Host keys to accept; without it ssh is refused.")
    accept_rewrite: str = Field(
        default="",
        pattern=r"^([0-9a-f]{40})?$",
        description="Full id of a commit to follow although it does not descend from the last one acted on.",
    )


class MlflowSettings(Section):
    """The model registry."""

    tracking_uri: str = "http://127.0.0.1:5000"
    writes: RegistryWrites = RegistryWrites.BOTH
    read_interval: Duration = Field(default=parse_duration("30s"), description="Between two full reads.")
    timeout: Duration = parse_duration("30s")
    token: Secret = Secret()
    username: str | None = None
    password: Secret = Secret()
    artifact_destinations: dict[str, str] = Field(
        default_factory=dict,
        description='Where KServe finds what MLflow proxies, such as {"mlflow-artifacts:/": "s3://models/mlflow/"}.',
    )


class KubernetesSettings(Section):
    """The cluster with KServe."""

    kubeconfig: Path | None = Field(default=None, description="Without it: in-cluster, then the default kubeconfig.")
    context: str | None = None
    timeout: Duration = parse_duration("15s")
    namespaces: tuple[str, ...] = Field(
        default=(), description="Watch only these; empty for all. Models elsewhere are left as they are."
    )
    resync_interval: Duration = Field(default=parse_duration("10m"), description="Between two full lists of a watch.")
    service_url: str = Field(
        default="http://{service}.{namespace}.svc.cluster.local",
        description="Address of a Service by which a single predictor is probed in Standard mode.",
    )

    @field_validator("service_url")
    @classmethod
    def _names_the_service(cls, url: str) -> str:
        try:
            url.format(service="", namespace="")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"only {{service}} and {{namespace}} can stand in braces: {error}") from error
        if "{service}" not in url or not url.startswith(("http://", "https://")):
            raise ValueError("an http or https address is needed that names {service}, and mostly {namespace}")
        return url


class PrometheusSettings(Section):
    """What answers the queries of checks: Prometheus, or what speaks its query API."""

    url: str = Field(default="", description="Of the server, with its path prefix; empty: no prometheus check is made.")
    token: Secret = Secret()
    timeout: Duration = Field(default=parse_duration("15s"), description="For one query, with all attempts.")


class TrainingSettings(Section):
    """Where pipelines run."""

    backend: Literal["local", "kfp"] = "kfp"
    runs_dir: Path | None = Field(default=None, description="Of the local runner; default: <stateDir>/runs.")
    parallel: int = Field(default=2, ge=1, description="Runs at once, of the local runner.")
    host: str | None = Field(default=None, description="URL of the KFP API.")
    token: Secret = Secret()
    experiment: str = "model-reconciler"
    namespace: str | None = None
    prefix: str = Field(default="model-reconciler", description="Display names of runs begin with it.")
    poll_interval: Duration = parse_duration("15s")
    timeout: Duration = parse_duration("15s")
    # What the pipelines see, where the registry has another address inside the cluster.
    pipeline_tracking_uri: str | None = None


class HttpSettings(Section):
    """The service's own API."""

    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)


class ApiSettings(Section):
    """Who may ask the service what."""

    tokens: Path | None = Field(
        default=None,
        description="File with lines `NAME view|operate TOKEN`; without it all may read, and no orders are taken.",
    )


class LoopSettings(Section):
    """Pace of the loop."""

    workers: int = Field(default=4, ge=1, le=64)
    interval: Duration = Field(
        default=parse_duration("3m"), description="Every model is looked at at least this often."
    )
    backoff_min: Duration = parse_duration("1s")
    backoff_max: Duration = parse_duration("15m")
    shutdown_timeout: Duration = parse_duration("25s")


class LogSettings(Section):
    """Logs go to stderr."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Section):
    """Everything the service needs to know."""

    state_dir: Path = Field(default=Path("./state"), description="Git mirror, local runs, and the SQLite ledger.")
    ledger_url: str | None = Field(
        default=None, description="SQLAlchemy URL; default: SQLite in stateDir. Its options go before limits of ours."
    )
    git: GitSettings = GitSettings()
    mlflow: MlflowSettings = MlflowSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    training: TrainingSettings = TrainingSettings()
    prometheus: PrometheusSettings = PrometheusSettings()
    http: HttpSettings = HttpSettings()
    api: ApiSettings = ApiSettings()
    loop: LoopSettings = LoopSettings()
    log: LogSettings = LogSettings()

    @property
    def database_url(self) -> str:
        """Return the ledger's SQLAlchemy URL."""
        return self.ledger_url or f"sqlite:///{self.state_dir / 'ledger.db'}"


def names_settings(variable: str) -> bool:
    """Return whether an environment variable is a setting; some are options of commands instead."""
    return variable.startswith(PREFIX) and variable not in OPTIONS


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read settings from a file (optional) and the environment, which wins. Raises SettingsError."""
    raw = _read_file(path) if path else {}
    variables: dict[tuple[str, ...], str] = {}
    for name, value in sorted(environ.items()):
        if names_settings(name):
            keys = tuple(to_camel(part.lower()) for part in name.removeprefix(PREFIX).split("__"))
            _overlay(raw, keys, name, value)
            variables[keys] = f"environment variable {name}"
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        said = explain(error, Schema(Settings, Secret, _variable), Origins(str(path), variables))
    # Not from pydantic's own error, which quotes values.
    raise SettingsError(said, help="`reconciler config` lists every setting with its default")


def _variable(path: Sequence[str]) -> str:
    """Return the variable of a setting."""
    return PREFIX + "__".join(to_snake(name).upper() for name in path)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no path"
        raise SettingsError(f"cannot read the settings file {path}: {why}") from error
    if len(data) > _LARGEST_FILE:
        raise SettingsError(f"the settings file {path} has more than {_LARGEST_FILE:,} bytes")
    raw = _yaml(data, f"the settings file {path}")
    if raw is not None and not isinstance(raw, dict):
        raise SettingsError(f"the settings file {path} must hold a mapping")
    return raw or {}


_LARGEST_FILE = 1024 * 1024


def _yaml(data: bytes, where: str) -> Any:
    """Read one YAML document with the limits that specs have; no words of the file stand in an error."""
    try:
        documents = list(read_documents(data))
    except Unparsable as error:
        line = error.problem.place.line
        raise SettingsError(f"{where} is no YAML (line {line}): {error.problem.code.removeprefix('yaml-')}") from None
    if len(documents) > 1:
        raise SettingsError(f"{where} holds {len(documents)} documents instead of one")
    for problem in documents[0].problems if documents else ():
        help_ = "" if problem.code == "yaml-ambiguous" else problem.help
        raise SettingsError(f"{where}, line {problem.place.line}: {problem.code.removeprefix('yaml-')}", help=help_)
    return documents[0].value if documents else None


def _overlay(raw: dict[str, Any], keys: Sequence[str], name: str, value: str) -> None:
    variable = f"the environment variable {name}"
    for depth, key in enumerate(keys[:-1], 1):
        raw = raw.setdefault(key, {})
        if not isinstance(raw, dict):
            above = ".".join(keys[:depth])
            raise SettingsError(f"{variable} is of a setting below {above}, which is given as a value already")
    raw[keys[-1]] = _yaml(value.encode("utf-8", "replace"), variable) if value[:1] in ("{", "[") else value
