"""A class map to objects: regions, prompts, SAM2, duplicates, instances."""
