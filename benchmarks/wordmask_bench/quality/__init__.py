"""How well masks and class maps fit labels, on scenes and on datasets."""
