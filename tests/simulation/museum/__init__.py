"""Bugs planted on purpose, one at a time: what the simulated world does not find, it is too kind to find."""
