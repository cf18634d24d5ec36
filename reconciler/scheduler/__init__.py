"""When to look at which model: queue, workers, backoff and timers."""
