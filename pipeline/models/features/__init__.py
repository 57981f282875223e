"""Networks that turn a frame into a feature vector.

May import ``base`` and ``models``.
"""
