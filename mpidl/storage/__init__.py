"""Results files and checkpoints, written and read."""
