"""What mixing costs, and how fast others are: `python -m pipelines.bench --help`."""
