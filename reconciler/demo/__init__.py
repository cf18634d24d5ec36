"""The embedded stack: what `reconciler demo` and the tests run against instead of a cluster."""
