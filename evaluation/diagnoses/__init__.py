"""Why a figure is what it is: by video, by epoch, by part.

May import every room but ``tables``.
"""
