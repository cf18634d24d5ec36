"""All planted bugs."""

from __future__ import annotations

from tests.simulation.museum import acting, judging, rolling, wire

BUGS = {bug.name: bug for bug in (*judging.BUGS, *rolling.BUGS, *acting.BUGS, *wire.BUGS)}
