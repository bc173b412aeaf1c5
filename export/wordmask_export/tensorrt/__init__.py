"""TensorRT engines of a bundle's graphs: built, kept, compared."""
