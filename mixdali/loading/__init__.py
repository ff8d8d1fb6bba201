"""A pipeline as an iterable of torch batches: epochs, shards, states, several joined."""
