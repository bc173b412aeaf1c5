"""Parts of the README and of docs that are generated from code."""
