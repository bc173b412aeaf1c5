"""Graphs in half precision."""
