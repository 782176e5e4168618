"""Processes: how they start, share memory, wait and stop, and the hardware that they take."""
