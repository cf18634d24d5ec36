"""The repository that users copy."""
