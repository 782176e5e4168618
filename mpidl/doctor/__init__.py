"""Doctor of an installation: what is there, what does not fit, and the remedy."""
