"""What the machine gives: files and folders that appear whole, locks, processors and memory."""
