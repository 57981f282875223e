"""The training loops: autoencoder, discriminator, inpainter.

May import every room of ``training``.
"""
