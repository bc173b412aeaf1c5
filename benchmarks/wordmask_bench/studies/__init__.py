"""Measurements made once, which NOTES.md quotes."""
