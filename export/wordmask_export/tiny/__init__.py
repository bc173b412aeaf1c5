"""Trains the tiny models: the real architectures, narrow, on synthetic scenes from a seed."""
