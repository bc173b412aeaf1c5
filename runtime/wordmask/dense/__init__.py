"""A photo and words to a class map: windows, CLIP, LoftUp, similarities, stitching."""
