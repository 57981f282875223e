"""The training step's loops in numba: see :mod:`training.fast`, which puts them together."""
