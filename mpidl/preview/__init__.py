"""Expectations of a run, without training."""
