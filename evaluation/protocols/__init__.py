"""Protocols: which frames are scored and on what scale.

May import ``scoring``.
"""
