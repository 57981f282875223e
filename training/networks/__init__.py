"""The networks, and their fast engine on processors.

May import ``pipeline.base`` and, for the kernels, ``pipeline.models.simd``.
"""
