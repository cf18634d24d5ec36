"""The two stories that the demo tells: from nothing to Production and Archived; and the bad candidate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.demo.repository import DemoRepository, Edit

Statuses = Mapping[str, Mapping[str, Any]]
"""`/api/v1/models`, by name."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One turn of the story: perhaps a commit, and how one sees that it is over."""

    name: str
    title: str
    done: Callable[[Statuses], bool]
    edit: Edit | None = None
    message: str = ""
    candidate_is_bad: bool = False


def _serves(status: Mapping[str, Any], version: int) -> bool:
    return [(t["version"], t["percent"]) for t in status["live"] if t["percent"]] == [(version, 100)]


def _role(status: Mapping[str, Any], version: int) -> tuple[str, str]:
    found = next((v for v in status["registry"] if v["version"] == version), None)
    return (found["role"], found["note"]) if found else ("", "")


def _first(statuses: Statuses) -> bool:
    return {"iris", "diabetes"} <= statuses.keys() and all(
        statuses[name]["sync"] == "Synced" and statuses[name]["health"] == "Healthy" and _serves(statuses[name], 1)
        for name in ("iris", "diabetes")
    )


def _second(statuses: Statuses) -> bool:
    iris = statuses.get("iris")
    return (
        iris is not None
        and iris["sync"] == "Synced"
        and _serves(iris, 2)
        and _role(iris, 2)[0] == "Production"
        and _role(iris, 1)[0] == "Archived"
    )


def _third(statuses: Statuses) -> bool:
    iris = statuses.get("iris")
    return (
        iris is not None
        and iris["phase"] == "Idle"
        and _serves(iris, 2)
        and _role(iris, 2)[0] == "Production"
        and _role(iris, 3) == ("Archived", "rejected")
    )


CHAPTERS = (
    Chapter("first", "Git describes two models; nothing is registered, nothing is served.", _first),
    Chapter(
        "second",
        "A commit asks for bigger forests: version 2 has to earn its traffic.",
        _second,
        Edit("models/iris.yaml", "n_estimators: 50", "n_estimators: 80"),
        "Grow the iris forest: 80 trees",
    ),
    Chapter(
        "third",
        "A commit trains in millimetres: version 3 measures well, but answers callers wrongly.",
        _third,
        Edit("models/iris.yaml", "unit: cm", "unit: mm"),
        "Train iris on millimetres",
        candidate_is_bad=True,
    ),
)


@dataclass(slots=True)
class Story:
    """Where the story stands; kept in a file, so that a second demo goes on where the first stopped."""

    repository: DemoRepository
    file: Path
    told: tuple[str, ...] = ()
    begun: str = ""

    @staticmethod
    def open(repository: DemoRepository, file: Path) -> Story:
        """Read where the story stands."""
        try:
            told = tuple(json.loads(file.read_text(encoding="utf-8"))["told"])
        except (OSError, ValueError, KeyError):
            told = ()
        return Story(repository, file, told)

    @property
    def chapter(self) -> Chapter | None:
        """Return the chapter that is being told, None after the last."""
        return next((c for c in CHAPTERS if c.name not in self.told), None)

    def advance(self, statuses: Statuses) -> Chapter | None:
        """Begin the chapter at hand, or end it; return it when it has just ended."""
        chapter = self.chapter
        if chapter is None:
            return None
        if self.begun != chapter.name:
            if chapter.edit is not None:
                self.repository.edit(chapter.edit, chapter.message)
            self.begun = chapter.name
        if not chapter.done(statuses):
            return None
        self.told = (*self.told, chapter.name)
        self.file.write_text(json.dumps({"told": self.told}), encoding="utf-8")
        return chapter
