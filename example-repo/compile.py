"""Compile every pipeline of this repository: `python compile.py`; the same source gives the same bytes.

With `--check` nothing is written, and the exit code is 1 if a compiled package is stale.
`PIPELINE_IMAGE` names the container image that a cluster runs the steps in.
"""

import importlib
import sys
import tempfile
from pathlib import Path

from kfp import compiler

PIPELINES = Path(__file__).parent / "pipelines"
NAMES = ("diabetes", "iris")


def compiled(name: str) -> str:
    """Return the package of one pipeline as YAML."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package.yaml"
        compiler.Compiler().compile(getattr(importlib.import_module(name), name), str(package))
        return package.read_text(encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write the packages, or only compare them."""
    sys.path.insert(0, str(PIPELINES))
    stale = []
    for name in NAMES:
        package = PIPELINES / f"{name}.yaml"
        text = compiled(name)
        if not package.exists() or package.read_text(encoding="utf-8") != text:
            stale.append(package.name)
            if "--check" not in arguments:
                package.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"stale: {', '.join(stale)}; run python compile.py and commit the result", file=sys.stderr)
        return 1
    print(f"{len(NAMES)} pipelines, {', '.join(stale) if stale else 'all'} {'written' if stale else 'up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
