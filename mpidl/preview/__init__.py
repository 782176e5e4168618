"""What to expect of a run, without training."""
