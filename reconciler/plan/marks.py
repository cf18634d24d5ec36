"""What we write into the registry's tags about rollouts, releases and rejections, and read back. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from reconciler.observed import Rejection, Release

_LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """A rollout in progress, as it stands in the candidate's tag: step 0 is before any traffic.

    `percent` is the share of the step that was begun, None if not told; `namespace` where the object stands, empty if
    not told. `waits`: the step was begun to wait for a person or a window, and the deadline does not run in it;
    `counted` is from when it counts after such a step.
    """

    release: Release
    stable: Release
    stable_revision: str
    step: int
    since: datetime
    started: datetime
    wanted: str
    percent: int | None = None
    namespace: str = ""
    waits: bool = False
    counted: datetime | None = None

    def to_tag(self) -> str:
        """Write the tag's value."""
        value = {
            "release": str(self.release),
            "stable": str(self.stable),
            "stableRevision": self.stable_revision,
            "step": self.step,
            "since": self.since.isoformat(),
            "started": self.started.isoformat(),
            "wanted": self.wanted,
            "percent": self.percent,
            "namespace": self.namespace,
        }
        if self.waits:
            value["waits"] = True
        if self.counted is not None:
            value["counted"] = self.counted.isoformat()
        return json.dumps(value, sort_keys=True)

    @staticmethod
    def from_tag(text: str | None) -> RolloutRecord | None:
        """Read a tag's value; None for anything that we did not write."""
        try:
            raw = json.loads(text or "null")
            release, stable = Release.parse(raw["release"]), Release.parse(raw["stable"])
            if release is None or stable is None:
                return None
            return RolloutRecord(
                release,
                stable,
                str(raw["stableRevision"]),
                _whole(raw["step"]),
                moment(raw["since"]),
                moment(raw["started"]),
                str(raw["wanted"]),
                None if raw.get("percent") is None else _whole(raw["percent"]),
                str(raw.get("namespace", "")),
                raw.get("waits") is True,
                None if raw.get("counted") is None else moment(raw["counted"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


# Tags can be written by anybody. A time without a zone, or so far away that nothing can be added to it, is not ours.
_YEARS = range(2000, 2200)


def moment(text: str) -> datetime:
    """Read a time that we wrote. Raises ValueError or TypeError for any other."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or at.year not in _YEARS:
        raise ValueError(f"no time of ours: {text}")
    return at


def _whole(value: object) -> int:
    """Read a step or a percentage."""
    if type(value) is not int or not 0 <= value <= 100:
        raise ValueError(f"no step or percentage: {value!r}")
    return value


def _bounded(reason: str) -> str:
    """Cut a reason between two words: what shows a secret for one may have been cut off."""
    return reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON].rpartition(" ")[0]


def rejection_to_tag(rejection: Rejection) -> str:
    """Write the value of the tag that marks a version rejected."""
    value = {
        "release": str(rejection.release),
        "wanted": rejection.wanted,
        "reason": _bounded(rejection.reason),
        "at": rejection.at.isoformat(),
    }
    return json.dumps(value, sort_keys=True)


def rejection_from_tag(text: str | None) -> Rejection | None:
    """Read the value of the tag that marks a version rejected; None for anything that we did not write."""
    try:
        raw = json.loads(text or "null")
        release = Release.parse(raw["release"])
        if release is None:
            return None
        return Rejection(release, str(raw["wanted"]), _bounded(str(raw["reason"])), moment(raw["at"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def release_to_tag(namespace: str, release: Release) -> str:
    """Write the value of the tag that tells by which release, and where, a version serves."""
    return f"{namespace}/{release}"


def namespace_from_tag(text: str | None) -> str | None:
    """Read where a version served last; None for anything that we did not write."""
    where, _, release = (text or "").partition("/")
    return where if where and Release.parse(release) is not None else None


def release_from_tag(text: str | None, namespace: str) -> Release | None:
    """Read the release by which a version served in this namespace; None if it served elsewhere."""
    where, _, release = (text or "").partition("/")
    return Release.parse(release) if where == namespace else None
