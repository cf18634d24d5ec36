"""Run a stand-in until killed: `python -m tests.demo.kserve.run API_URL WORK_DIR` prints its URL."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from kubernetes.client import ApiClient, Configuration

from reconciler.demo.kserve.standin import KServeStandIn

if __name__ == "__main__":
    configuration = Configuration()
    configuration.host = sys.argv[1]
    with ApiClient(configuration) as client, KServeStandIn.start(client, Path(sys.argv[2])) as kserve:
        sys.stdout.write(kserve.ingress_url + "\n")
        sys.stdout.flush()
        signal.pause()
