"""KServe over a real API."""
