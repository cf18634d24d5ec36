"""A world in which every call can fail and every moment can be the last, driven by a tape of choices."""
