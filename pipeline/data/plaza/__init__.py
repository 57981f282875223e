"""Generated videos of a plaza, with ground truth: the demo's data set.

May import ``base``.
"""
