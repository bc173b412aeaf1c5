"""Pages of the README and docs that are made from code."""
