"""AUC, regions, fusion and thresholds.

May import ``protocols`` and ``scoring``.
"""
