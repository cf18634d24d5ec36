"""Small repositories in memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

from reconciler.desired.repository import Assembler
from reconciler.desired.state import Commit, DesiredModel, DesiredState
from reconciler.source.directory import DirectorySnapshot

PIPELINE = dedent("""\
    components: {}
    deploymentSpec: {}
    pipelineInfo: {name: train}
    root:
      inputDefinitions:
        parameters:
          depth: {parameterType: NUMBER_INTEGER, isOptional: true}
          rate: {parameterType: NUMBER_DOUBLE, defaultValue: 0.1}
          unit: {parameterType: STRING, defaultValue: cm}
          flag: {parameterType: BOOLEAN, defaultValue: false}
          reconciler_training_key: {parameterType: STRING}
    schemaVersion: 2.1.0
    sdkVersion: kfp-2.16.0
    """)


def commit(number: int = 1) -> Commit:
    """Return a commit by number."""
    at = datetime(2026, 1, 1, 0, number, tzinfo=UTC)
    return Commit(f"{number:040x}", "Ana <ana@example.org>", at, f"Change {number}")


def model(name: str = "iris", spec: str = "suspend: false") -> str:
    """Return a Model document; `spec` is YAML, indented by nothing."""
    body = "\n".join(f"  {line}" for line in dedent(spec).strip("\n").split("\n"))
    return f"apiVersion: reconciler.dev/v1alpha1\nkind: Model\nmetadata:\n  name: {name}\nspec:\n{body}\n"


def policy(spec: str, name: str = "policy") -> str:
    """Return a RepositoryPolicy document."""
    return model(name, spec).replace("kind: Model", "kind: RepositoryPolicy")


def snapshot(files: Mapping[str, str | bytes]) -> DirectorySnapshot:
    """Return these files as a snapshot."""
    data = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    yaml = {path: text for path, text in data.items() if path.endswith((".yaml", ".yml"))}
    found = DirectorySnapshot(Path("/nowhere"), yaml, ())
    found._files.update(data)
    return found


def state_of(files: Mapping[str, str | bytes], last_good: Mapping[str, DesiredModel] | None = None) -> DesiredState:
    """Return the desired state of one commit, by a process that has seen no other."""
    return Assembler().assemble(commit(), snapshot(files), last_good or {})


class Repository:
    """A repository that one process follows: `last_good` is what it remembers, as the loop keeps it."""

    def __init__(self) -> None:
        self.assembler = Assembler()
        self.last_good: dict[str, DesiredModel] = {}
        self._commits = 0

    def commit(self, files: Mapping[str, str | bytes]) -> DesiredState:
        """Make a commit with these files, and remember the good specs of it."""
        self._commits += 1
        state = self.assembler.assemble(commit(self._commits), snapshot(files), self.last_good)
        good = {name: m for name, m in state.models.items() if not m.stale and not m.removed}
        self.last_good.update(good)
        return state

    def restart(self) -> None:
        """Forget everything but what is remembered."""
        self.assembler = Assembler()
