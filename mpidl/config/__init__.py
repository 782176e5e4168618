"""The words of a user: what a run file may say, and how a mistake in it is told."""
