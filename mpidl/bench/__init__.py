"""The exchange, the kernel, the round and the start, timed against the obvious ways."""
