"""TV-L1 optical flow on processors.

May import ``base`` and ``models/simd``.
"""
