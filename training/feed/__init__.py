"""From shards to batches: reading, clips, their order, pseudo-anomalies.

May import ``networks``, ``settings`` and the pipeline's reader.
"""
