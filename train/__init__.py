"""Train a classifier on mixed batches: `python -m train RECIPE` (see `python -m train` for the recipes)."""
