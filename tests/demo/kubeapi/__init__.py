"""The embedded Kubernetes API, through the real client."""
