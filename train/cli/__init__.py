"""The command line: `python -m train RECIPE [VARIANT] [--field value ...]`."""
