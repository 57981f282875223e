"""Ground truth: which frames, and which pixels, are anomalous; one reader a format.

May import ``base`` and ``data/video``.
"""
