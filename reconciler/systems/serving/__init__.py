"""KServe: InferenceServices by list and watch, written by server-side apply."""
