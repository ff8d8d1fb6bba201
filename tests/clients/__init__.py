"""Other people's training loops, in an environment of their own: `make test-clients`."""
