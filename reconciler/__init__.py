"""GitOps for machine-learning models: MLflow and KServe kept as Git says, every step on record."""
