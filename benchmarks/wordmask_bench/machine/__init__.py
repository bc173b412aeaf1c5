"""What all measurements need: facts about the machine, timing, child processes and Markdown tables."""
