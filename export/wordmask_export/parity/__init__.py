"""Exported graphs against the PyTorch models."""
