"""Every single fault at every call of the reference stories, and pairs of them where something is written."""
