"""Everything that a run file can name: graphs, weights, algorithms, data, models, faults."""
