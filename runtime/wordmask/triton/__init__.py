"""A bundle as a model repository for NVIDIA Triton, and the Python model that runs in it."""
