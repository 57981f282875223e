"""Pages and pictures for people.

May import every room but ``tables`` and ``diagnoses``.
"""
