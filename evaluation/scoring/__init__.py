"""Scores: what a run's networks say of each frame, from shards or from a stream.

May import ``training`` and ``pipeline``.
"""
