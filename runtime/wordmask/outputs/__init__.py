"""Files of a run, and their readers."""
