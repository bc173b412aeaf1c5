"""`wordmask check`: whether a bundle's weights behave as trained ones do, on pictures whose answer is known."""
