"""The operators that numba compiles, for DALI on the CPU; the extra `mixdali[fast]` installs it. Without it, or on a
GPU, `worlds/graph.py` takes DALI's own ones."""
