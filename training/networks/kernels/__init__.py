"""Convolution, normalisation and their ends, compiled for the processor at hand.

May import ``pipeline.models.simd`` alone.
"""
