"""Data sets: manifests, where their files lie, downloads, and videos of one's own.

May import ``base``.
"""
