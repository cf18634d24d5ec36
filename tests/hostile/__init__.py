"""What hostile people and broken servers send: bounded in time and memory, and never shown raw."""
