"""Bench of this machine: exchange, kernel, round, checkpoint and start against simple ways."""
