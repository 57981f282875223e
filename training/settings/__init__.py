"""The settings of each training.

May import ``networks``.
"""
