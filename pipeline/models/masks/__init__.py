"""Where things are: background subtraction, segmentation, random masks.

May import ``base`` and ``models``.
"""
