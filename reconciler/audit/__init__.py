"""The ledger: an append-only, hash-chained record of what was done and why, and what must survive a restart."""
