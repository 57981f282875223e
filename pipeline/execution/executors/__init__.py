"""Who runs the tasks: Dask, job arrays, SLURM.

May import every room of ``pipeline``.
"""
