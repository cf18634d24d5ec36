"""GitOps for machine-learning models: MLflow and KServe kept as Git says, every step on record."""

__version__ = "0.1.0"
