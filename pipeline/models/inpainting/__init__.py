"""Inpainters: a hole in an image is filled.

May import ``base`` and ``models``.
"""
