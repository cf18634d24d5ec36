"""Change the code in every small way and see that tests fail: `python -m tests.mutation [--module X] [--sample N]`."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

from tests.mutation.session import KILLERS, Session, run
from tests.mutation.sites import Key, mutants_of
from tests.mutation.survivors import LIST, Audit, audit, listed
from tests.mutation.trial import Verdict

PACKAGES = ("reconciler.plan", "reconciler.gates", "reconciler.analysis", "reconciler.ensure")
MODULES = ("reconciler.executor", "reconciler.registry_roles", "reconciler.registry_writes")
# Nothing acts on these: they write words for people, foretell on a world that they make up, or are frozen values alone.
LEFT_OUT = tuple(f"reconciler.plan.{name}" for name in ("render_", "describe", "forecast", "action"))
WANTED = 0.9


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; end with 0 when what survives is what the list says, and not too much."""
    options = _options(arguments)
    everything = [m for name in module_names() for m in mutants_of(importlib.import_module(name))]
    chosen = [m for m in everything if any(part in m.module.__name__ for part in options.module)]
    if options.again:
        lived = _lived(options.again)
        chosen = [m for m in chosen if str(m.key) in lived]
    if options.sample:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    started = time.monotonic()
    with options.record.open("w", buffering=1, encoding="utf-8") if options.record else nullcontext() as record:
        session = Session(chosen, options.jobs, Progress(len(chosen), record).told)
        run(session, options.tests or KILLERS)
    if session.failures:
        _say("The tests fail before anything is changed:", *session.failures)
        return 2
    _say("", *table(session.verdicts), f"{time.monotonic() - started:.0f} s, {len(session.tests)} tests")
    tried = {v.mutant.key: v.killer is None for v in session.verdicts}
    named = {key: why for key, why in listed(LIST).items() if any(part in key.place for part in options.module)}
    found = audit(named, tried, [m.key for m in everything])
    _say(*_complaints(found))
    return 0 if found.agrees and _share(session.verdicts) >= WANTED else 1


def _lived(record: Path) -> set[str]:
    """Return the mutants that survived a run before."""
    values = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    return {value["mutant"] for value in values if not value["killer"]}


def module_names() -> list[str]:
    """Return the modules that decide and act."""
    found = list(MODULES)
    for package in PACKAGES:
        there = pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}.")
        found += [m.name for m in there if not m.name.startswith(LEFT_OUT)]
    return sorted(found)


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """Write the figures: by module how many mutants there were and how many lived."""
    all_, lived = Counter[str](), Counter[str]()
    for verdict in verdicts:
        all_[verdict.mutant.module.__name__] += 1
        lived[verdict.mutant.module.__name__] += verdict.killer is None
    lines = [f"{'module':42} {'mutants':>8} {'killed':>8} {'survived':>9} {'killed %':>9}"]
    rows = [*((name, all_[name], lived[name]) for name in sorted(all_)), ("all", all_.total(), lived.total())]
    return lines + [f"{name:42} {n:8} {n - s:8} {s:9} {(n - s) / n:9.1%}" for name, n, s in rows if n]


def _share(verdicts: Sequence[Verdict]) -> float:
    return sum(v.killer is not None for v in verdicts) / max(1, len(verdicts))


def _complaints(found: Audit) -> list[str]:
    sections = (
        ("Survivors that no reason is given for: write a test that states the rule, or list them", found.unlisted),
        ("Listed as survivors, but killed now: take them off the list", found.killed),
        ("Listed as survivors, but there is no such mutant any more: take them off the list", found.gone),
    )
    return [line for title, keys in sections if keys for line in (f"\n{title} in {LIST.name}:", *_entries(keys))]


def _entries(keys: Sequence[Key]) -> list[str]:
    """Write them as they stand in the list, to be copied there."""
    lines: list[str] = []
    for key in keys:
        lines += ["", f"[[{json.dumps(key.place)}]]", f"line = {json.dumps(key.line)}"]
        lines += [f"change = {json.dumps(key.change)}", *([f"nth = {key.nth}"] if key.nth > 1 else []), 'why = ""']
    return lines


class Progress:
    """Tell how far it is on a terminal, and write each verdict down for who wants to look closer."""

    def __init__(self, total: int, record: TextIO | None) -> None:
        self.total, self.done, self.lived, self.record = total, 0, 0, record

    def told(self, verdict: Verdict, killer: str) -> None:
        """Count one more verdict."""
        self.done += 1
        self.lived += verdict.killer is None
        if self.record:
            value = {"mutant": str(verdict.mutant.key), "killer": killer, "seconds": round(verdict.seconds, 3)}
            self.record.write(json.dumps({**value, "tooLong": verdict.too_long}) + "\n")
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{self.done} of {self.total}, {self.lived} survived ")


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n" if lines else "")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--module", nargs="+", default=[""], help="only modules whose name has one of these in it")
    parser.add_argument("--sample", type=int, default=0, help="only so many mutants, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time (default 2)")
    parser.add_argument("--tests", nargs="+", help="only these files and folders of tests may kill")
    parser.add_argument("--again", type=Path, help="only mutants that survived in this record of a run before")
    parser.add_argument("--record", type=Path, help="write each verdict to this file, a JSON value a line")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
