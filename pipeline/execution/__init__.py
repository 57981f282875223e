"""From a request to shards: what is wanted, what is there, what is left, one task.

May import every room but ``executors``.
"""
