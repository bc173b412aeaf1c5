"""The modules that are traced to ONNX, and their interfaces."""
