"""Measures wordmask: baselines, synthetic scenes."""
