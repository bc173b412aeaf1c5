"""The PyTorch models and their weights."""
