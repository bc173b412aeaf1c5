"""The same pipeline in PyTorch, the baseline for speed and results."""
