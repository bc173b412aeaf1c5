"""The recipe of the tiny family: the real architecture, small, trained on synthetic scenes from a seed."""
