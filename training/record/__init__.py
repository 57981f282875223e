"""What a training leaves: weights, recipe, progress; how it is stopped and used again.

May import ``networks``, ``settings`` and ``feed``.
"""
