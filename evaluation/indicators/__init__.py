"""Indicators: what is computed of each frame, one file each, and the registry that lists them.

May import ``record``.
"""
