"""The paper's tables over many runs.

May import ``measures`` and ``report``.
"""
