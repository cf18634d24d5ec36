"""A plan against what is there now. Reads every system, and can write to none."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from reconciler.audit.database import open_for_reading
from reconciler.audit.ledger import LedgerReader
from reconciler.audit.memory import SqlMemory
from reconciler.bootstrap import build_redactor, build_serving, build_source, build_systems, utc_now
from reconciler.cli.records import ReadOnlyLedger, ReadOnlyMemory
from reconciler.cli.specs import WORKING_TREE, assemble
from reconciler.desired.state import DesiredState
from reconciler.desired.stored import from_json, to_json
from reconciler.ensure.scene import Systems
from reconciler.errors import Terminal
from reconciler.logs import set_up_logs
from reconciler.observe import Observer
from reconciler.plan.forecast import Assumptions
from reconciler.plan.planner import Rules
from reconciler.plan.proposal import Compared, Outlook, Proposal, propose
from reconciler.plan.removal import losing, removal_guard
from reconciler.ports import Memory
from reconciler.settings import Settings, load_settings
from reconciler.source.directory import read_directory

LIVE = "what is there now"


def propose_online(
    config: Path | None,
    path: Path | None,
    ref: str | None,
    assumptions: Assumptions,
    hide: Callable[[Callable[[str], str]], None],
) -> Proposal:
    """Plan the configured Git ref (or another one, or the files at `path`) against the systems.

    `hide` is told, before any system is asked, what takes secrets out of a text.
    """
    settings = load_settings(config, os.environ)
    redactor = build_redactor(settings)
    hide(redactor.redact_text)
    # What goes wrong stands in the plan; the log would say it again.
    set_up_logs(settings.log.model_copy(update={"level": "error"}), redactor, sys.stderr)
    with reading(settings) as systems:
        state, name = _desired(settings, path, ref, systems.memory)
        return propose_against(systems, state, settings, assumptions, name)


def propose_against(
    systems: Systems, state: DesiredState, settings: Settings, assumptions: Assumptions, name: str
) -> Proposal:
    """Plan a desired state against what the systems say now."""
    observer = Observer(systems, settings.mlflow.read_interval)
    observer.remember_in_flight()
    observer.refresh_registry()
    now = systems.clock()
    guard = removal_guard(state, observer.served(losing(state)))
    outlook = Outlook(Rules(state.policy, guard), now, assumptions)
    before = systems.memory.last_good()
    return propose(state, before, lambda model: observer.observe(model, now), outlook, Compared(name, LIVE))


def _desired(settings: Settings, path: Path | None, ref: str | None, memory: Memory) -> tuple[DesiredState, str]:
    if path is not None and ref is None:
        return assemble(WORKING_TREE, read_directory([path]), memory.last_good()), "the files here"
    git = settings.git.model_copy(update={"ref": ref} if ref is not None else {})
    # A mirror of its own: the service's must not see a commit before the service does.
    with tempfile.TemporaryDirectory(prefix="reconciler-plan-") as folder:
        own = settings.model_copy(update={"git": git, "state_dir": Path(folder)})
        source = build_source(own, utc_now, memory)
        status = source.fetch()
        state = source.desired()
        if state is None:
            raise Terminal(f"cannot read {git.ref} of {git.url}: {status.error}", help="check the git settings")
        return state, f"{git.ref} {state.commit.short}"


@contextmanager
def reading(settings: Settings) -> Iterator[Systems]:
    """Connect to every system for reading."""
    with ExitStack() as stack:
        ledger, memory = _records(settings, stack)
        serving = stack.enter_context(build_serving(settings, utc_now))
        serving.wait_synced(settings.kubernetes.timeout)
        yield build_systems(settings, utc_now, stack, ledger=ledger, memory=memory, serving=serving)


def _records(settings: Settings, stack: ExitStack) -> tuple[ReadOnlyLedger, ReadOnlyMemory]:
    if settings.ledger_url is None and not (settings.state_dir / "ledger.db").exists():
        return ReadOnlyLedger(None), ReadOnlyMemory(None)  # nothing was ever reconciled from here
    database = open_for_reading(settings.database_url)
    stack.callback(database.close)
    return ReadOnlyLedger(LedgerReader(database)), ReadOnlyMemory(SqlMemory(database, to_json, from_json))
