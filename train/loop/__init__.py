"""A run from its recipe to its table: state, epochs, what is measured on the way."""
