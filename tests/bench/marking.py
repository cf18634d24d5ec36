"""Write another address into the status of every InferenceService: python -m tests.bench.marking API ADDRESS."""

from __future__ import annotations

import sys

import httpx

from tests.bench.live import SERVICES


def main(api: str, address: str) -> None:
    """Write one status after the other."""
    with httpx.Client(base_url=api, timeout=60, trust_env=False) as client:
        for obj in client.get(SERVICES).raise_for_status().json()["items"]:
            metadata = obj["metadata"]
            path = SERVICES.replace("inferenceservices", f"namespaces/{metadata['namespace']}/inferenceservices")
            body = {**obj, "status": {**obj["status"], "url": address}}
            client.put(f"{path}/{metadata['name']}/status", json=body).raise_for_status()


if __name__ == "__main__":
    main(*sys.argv[1:])
