"""Comparison of the exported graphs with the PyTorch models."""
