"""One way to read a video: frames, time stamps and damage of files and image folders.

May import ``base``.
"""
