"""Stages: a frozen dataclass of settings with one function from arrays to arrays; one file each.

May import ``base``, ``data``, ``shards`` and ``models``; knows nothing of Dask or HDF5.
"""
