"""Shards: arrays of some consecutive frames in one HDF5 file, and how they are read and claimed.

May import ``base``.
"""
