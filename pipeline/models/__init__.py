"""Models that stages run, and where their weights come from; one room a kind of model.

May import ``base``.
"""
