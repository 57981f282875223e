"""What lies in a run's folder: its shards and networks, raw scores, and what they are read from.

May import ``training`` and ``pipeline``; knows no indicator and no protocol by name.
"""
