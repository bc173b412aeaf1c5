"""What was measured on, how it was timed, and in which processes and tables."""
