"""The MLflow model registry, over its REST API."""
