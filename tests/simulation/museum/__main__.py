"""Hunt every planted bug: `python -m tests.simulation.museum [--seconds 60] [--seed N] [--write] [NAME...]`."""

from __future__ import annotations

import argparse
import itertools
import sys

from tests.simulation.museum.catalogue import ALL, NOT_YET
from tests.simulation.museum.hunting import Find, Hunt, Missed, known, write_known
from tests.simulation.museum.planting import Bug


def main() -> int:
    """Print a line for each bug; return 1 when one is not found."""
    asked = _asked()
    names = asked.names or list(ALL)
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.stderr.write(f"no bug is called {', '.join(unknown)}; there are {', '.join(ALL)}\n")
        return 2
    hunt, found = Hunt(), dict[str, int]()
    _say(f"{'bug':34} {'found by':11} {'tape':>6} {'runs':>5} {'seconds':>8}  how\n")
    for name in names:
        answer = hunt.look(ALL[name], itertools.count(asked.seed), asked.seconds)
        if isinstance(answer, Find):
            found[name] = answer.number
            if asked.write:
                write_known({**{n: t for n, t in known().items() if n in ALL}, name: answer.number})
        _say(_line(ALL[name], answer))
    missing = [name for name in names if name not in found]
    _say(f"{len(found)} of {len(names)} bugs found; {len(hunt.sound)} tapes without a bug, {hunt.seconds:.1f} s\n")
    return 1 if missing else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.museum", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs to hunt; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the processor, for each bug")
    parser.add_argument("--seed", type=int, default=0, help="the first tape")
    parser.add_argument("--write", action="store_true", help="put down the tapes that found them, for the tests")
    return parser.parse_args()


def _line(bug: Bug, answer: Find | Missed) -> str:
    if isinstance(answer, Missed):
        instead = ", ".join(f"{promise} {count} times" for promise, count in answer.instead.items())
        said = f"not found; broke instead: {instead}" if instead else "not found"
        said = f"{said}: {NOT_YET[bug.name]}" if bug.name in NOT_YET else said
        return f"{bug.name:34} {'-':11} {'-':>6} {answer.runs:5} {answer.seconds:8.1f}  {said}\n"
    breach = answer.breach
    where = f"{answer.number:6} {answer.runs:5} {answer.seconds:8.1f}"
    return f"{bug.name:34} {breach.promise:11} {where}  {breach.what:.90}\n"


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
