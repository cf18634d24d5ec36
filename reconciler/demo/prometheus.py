"""A Prometheus of the demo's own, which scrapes the ingress."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.demo.processes import child

START_SECONDS = 60.0
_SCRAPED = "1s"


def installed() -> str | None:
    """Return the program, None where it is not on PATH."""
    return shutil.which("prometheus")


@contextmanager
def running_prometheus(
    program: str, folder: Path, url: str, ingress_url: str, is_ready: Callable[[str], bool]
) -> Iterator[None]:
    """Run the program on `url`, with its data below `folder`, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = [{"targets": [urlsplit(ingress_url).netloc]}]
    job = {"job_name": "ingress", "honor_labels": True, "static_configs": targets}
    timing = {"scrape_interval": _SCRAPED, "scrape_timeout": _SCRAPED}
    config = folder / "prometheus.yml"
    # JSON is YAML.
    config.write_text(json.dumps({"global": timing, "scrape_configs": [job]}, indent=2) + "\n", encoding="utf-8")
    command = [
        program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=1d", f"--web.listen-address={urlsplit(url).netloc}",
    ]  # fmt: skip
    with child(command, os.environ, folder / "prometheus.log", lambda: is_ready(f"{url}/-/ready"), START_SECONDS):
        yield
