"""The registry: every stage, in the order in which they read each other.

To add a stage, write its file here and add a field to :class:`Stages`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from pipeline.base.errors import ConfigurationError
from pipeline.stages.base import Stage
from pipeline.stages.features import Features, PaFeatures
from pipeline.stages.flow import Flow
from pipeline.stages.frames import Frames
from pipeline.stages.inpaint import Inpaint
from pipeline.stages.instances import Instances
from pipeline.stages.labels import Labels
from pipeline.stages.masks import Masks
from pipeline.stages.mixed_flow import MixedFlow
from pipeline.stages.patches import Patches


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The settings of every stage."""

    labels: Labels = field(default_factory=Labels)
    frames: Frames = field(default_factory=Frames)
    instances: Instances = field(default_factory=Instances)
    masks: Masks = field(default_factory=Masks)
    inpaint: Inpaint = field(default_factory=Inpaint)
    flow: Flow = field(default_factory=Flow)
    mixed_flow: MixedFlow = field(default_factory=MixedFlow)
    features: Features = field(default_factory=Features)
    pa_features: PaFeatures = field(default_factory=PaFeatures)
    patches: Patches = field(default_factory=Patches)

    def __post_init__(self) -> None:
        if self.pa_features == PaFeatures():
            shared = {name: getattr(self.features, name) for name in ("engine", "model")}
            same = dataclasses.replace(self.pa_features, **shared)
            object.__setattr__(self, "pa_features", same)
        for name in ("engine", "model"):
            one, other = getattr(self.features, name), getattr(self.pa_features, name)
            if one != other:
                raise ConfigurationError(
                    f"pa_features.{name}: {other!r} is not features.{name}, {one!r}, and the "
                    "discriminator compares the two; leave pa_features unset"
                )

    def by_name(self) -> dict[str, Stage]:
        """Return the stages by name, each after those that it reads."""
        return {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
