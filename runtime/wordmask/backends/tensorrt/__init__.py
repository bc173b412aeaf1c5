"""Graphs run as TensorRT engines, by tensorrt and cuda-python alone."""
