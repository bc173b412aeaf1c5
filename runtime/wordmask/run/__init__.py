"""Runs over many photos, on this machine."""
