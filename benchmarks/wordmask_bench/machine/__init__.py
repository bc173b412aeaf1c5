"""What was measured on, and by which clock."""
