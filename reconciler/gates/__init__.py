"""May it happen now? Pure answers, each with its numbers."""
