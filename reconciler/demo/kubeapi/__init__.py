"""A small Kubernetes API server inside the process, for the demo and for tests.

    with KubeApi.serve(state_dir, port=0) as api:
        api.write_kubeconfig(path)

Real clients talk to it over HTTP. It is a stand-in for a laptop, never for production.
"""

from reconciler.demo.kubeapi.admission import AdmissionDeniedError, AdmissionRequest
from reconciler.demo.kubeapi.errors import ApiError
from reconciler.demo.kubeapi.server import KubeApi, Options

__all__ = ["AdmissionDeniedError", "AdmissionRequest", "ApiError", "KubeApi", "Options"]
