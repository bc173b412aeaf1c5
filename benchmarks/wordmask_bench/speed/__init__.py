"""`wordmask bench`: wordmask and PyTorch, each in a process of its own, timed in alternation."""
