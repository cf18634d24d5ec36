"""The wire tier: the real adapters over simulated HTTP, with all that can go wrong there."""
