"""A trained run on new videos and cameras: sources, scores, events, overlay.

May import ``measures``, ``protocols`` and ``scoring``.
"""
