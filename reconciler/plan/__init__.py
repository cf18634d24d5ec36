"""Deciding: a pure function of desired, observed, policy and now."""
