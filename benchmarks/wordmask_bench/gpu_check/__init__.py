"""A check of everything that needs a GPU, in one command."""
