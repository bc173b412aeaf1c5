"""One photo with bilinear upsampling and with LoftUp, side by side."""
