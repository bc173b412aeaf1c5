"""Traces CLIP, LoftUp and SAM2 to ONNX graphs and proves that the graphs compute the same."""
