"""A list of photos, worked off on this machine."""
