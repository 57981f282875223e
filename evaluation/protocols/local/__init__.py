"""The protocol ``local``: maps over places, on a scale of held-out normal frames.

May import ``scoring``.
"""
