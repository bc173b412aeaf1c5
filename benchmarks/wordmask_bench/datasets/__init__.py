"""Published datasets with labels, as they stand on disk."""
