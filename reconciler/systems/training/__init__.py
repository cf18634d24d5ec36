"""Training backends: Kubeflow pipelines, by KFP's local runner or by its API."""
