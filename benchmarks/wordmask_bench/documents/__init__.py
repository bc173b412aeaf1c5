"""Pictures of the README that are made from code."""
