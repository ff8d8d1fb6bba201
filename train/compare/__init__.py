"""Finished runs side by side: `python -m train.compare RUN ...`."""
