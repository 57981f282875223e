"""The autoencoder by either engine."""

from __future__ import annotations

from pipeline.base.errors import ConfigurationError
from training.networks.autoencoder import Autoencoder, AutoencoderSettings, Engine


def build_autoencoder(
    settings: AutoencoderSettings | None = None, engine: Engine = "plain"
) -> Autoencoder:
    """Make the network with fresh weights (PyTorch's default initialisation).

    Parameters
    ----------
    settings
        What the network is.
    engine
        How it is computed: ``plain``, by PyTorch's layers, or ``fast``, by
        :mod:`training.networks.fast` (CPU, fp32). Weights and checkpoints are the same.

    Notes
    -----
    Seed ``torch.manual_seed`` before the call to repeat it.
    """
    settings = settings or AutoencoderSettings()
    if engine == "plain":
        return Autoencoder(settings)
    if engine == "fast":
        from training.networks.fast import FastAutoencoder  # numba compiles its kernels

        return FastAutoencoder(settings)
    raise ConfigurationError(f"engine: {engine!r}: must be plain or fast")
