"""Puts a finished run's results into the formats that other tools read. See docs/convert.md."""
