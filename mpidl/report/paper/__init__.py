"""The published study (arXiv 2505.11760): its graphs, its settings and its numbers, as data."""
