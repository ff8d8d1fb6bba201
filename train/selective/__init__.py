"""How often a network is wrong where it dares to answer: `python -m train.selective RUN`."""
