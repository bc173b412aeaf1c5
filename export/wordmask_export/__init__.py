"""Exports CLIP, LoftUp and SAM2 to ONNX graphs and compares the graphs with the PyTorch models."""
