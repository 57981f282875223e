"""Vectors of a processor for numba: the one room that the training kernels import too.

Imports nothing.
"""
