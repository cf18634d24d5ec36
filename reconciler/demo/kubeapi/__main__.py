"""Serve the embedded Kubernetes API from a shell: python -m reconciler.demo.kubeapi."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from reconciler.demo.kubeapi.server import KubeApi, Options


def main(arguments: list[str]) -> int:
    """Serve until interrupted or terminated."""
    parser = argparse.ArgumentParser(prog="python -m reconciler.demo.kubeapi", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig for the server here")
    parser.add_argument("--state-dir", type=Path, help="keep the state here (default: in memory only)")
    parser.add_argument("--token", help="require this bearer token")
    chosen = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with KubeApi.serve(chosen.state_dir, chosen.port, Options(token=chosen.token)) as api:
        if chosen.kubeconfig:
            api.write_kubeconfig(chosen.kubeconfig)
        sys.stdout.write(f"{api.url}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
