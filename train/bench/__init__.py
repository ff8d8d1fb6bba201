"""`python -m train.bench RECIPE [VARIANT]`: a step's cost beside its passes alone, the wait for data, and memory.

run.py     the command
steps.py   a training step, and the passes that it consists of, in turns
memory.py  many steps as a run makes them: how long they wait for their batches, and whether memory grows
"""
