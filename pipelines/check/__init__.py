"""Which images of a folder DALI cannot decode, found without harm to the process that asks."""
