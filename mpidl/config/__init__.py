"""What a user may say, and how a mistake in it is told."""
