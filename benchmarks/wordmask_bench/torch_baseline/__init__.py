"""The same chain in PyTorch: what speed and results are compared with."""
