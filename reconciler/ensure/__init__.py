"""One `ensure_*` for each action: reach the named state, also when part of it is reached already."""
