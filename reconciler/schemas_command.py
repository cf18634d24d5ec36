"""Write schemas/*.json, or check that they are fresh: python -m reconciler.schemas_command --write|--check."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from reconciler.desired.schema import schemas

FOLDER = Path(__file__).parent.parent / "schemas"


def stale(folder: Path) -> list[str]:
    """Return the names of schema files that are not what the documents say."""
    return [name for name, text in schemas().items() if not _is(folder / name, text)]


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """Write or check; 0 when all is well, 1 when a schema is stale."""
    if list(arguments) == ["--write"]:
        for name, text in schemas().items():
            (folder / name).write_text(text, encoding="utf-8")
        return 0
    if list(arguments) != ["--check"]:
        sys.stderr.write("usage: python -m reconciler.schemas_command --write|--check\n")
        return 1
    old = stale(folder)
    if old:
        sys.stderr.write(f"stale: {', '.join(old)}. Run python -m reconciler.schemas_command --write and commit\n")
    return 1 if old else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
