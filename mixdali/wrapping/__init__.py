"""Mixing in the loaders of others: any iterable of torch batches, or the workers of a DataLoader."""
