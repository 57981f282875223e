"""What a training is told: settings that decide the weights, and those that do not.

:class:`AutoencoderTraining` and :class:`DiscriminatorTraining` decide the weights and are
part of the recipe. :class:`RunSettings` says how the work is carried out; a run may be
resumed with other ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.base.errors import ConfigurationError
from training.networks.autoencoder import AutoencoderSettings, Engine

Network = Literal["spatial", "temporal"]
PseudoAnomaly = Literal["shards", "patch", "skip-frame"]
Display = Literal["uvm", "color"]


def require(name: str, value: Any, valid: bool, expected: str) -> None:
    """Raise ConfigurationError, naming the setting, unless its value is valid."""
    if not valid:
        raise ConfigurationError(f"{name}: {value!r}: must be {expected}")


@dataclass(frozen=True, kw_only=True)
class AutoencoderTraining:
    """What decides the weights of A^s and A^t, and of the peers' networks."""

    network: Network
    """``spatial`` reconstructs frames (A^s), ``temporal`` optical flow (A^t)."""

    method: str = "unified"
    """The method's name, as results carry it; the files in training/methods set it."""

    seed: int = 0
    """Decides the initial weights, the order of clips and every pseudo-anomaly."""

    size: int | None = None
    """Side in pixels of what the network sees, by area means of the shards' frames; null
    keeps the shards' own size. A multiple of 16."""

    display: Display = "uvm"
    """How the temporal network is shown flow: (u, v, magnitude) or the colour wheel."""

    stride: int = 1
    """Clips start at every ``stride``-th frame, the first start moving on by one each
    epoch, so that ``stride`` epochs visit every start."""

    pseudo_anomaly: PseudoAnomaly = "shards"
    """``shards``: the paper's, inpainted frames or mixed flow; ``patch`` and
    ``skip-frame``: LNTRA's, made while reading, for the spatial network."""

    p: float = 0.4
    """Probability that a clip's input is its pseudo-anomaly; 0 is the baseline."""

    negative: bool = False
    """STEAL: a pseudo-anomaly is its own target and its error counts negatively."""

    skip: tuple[int, ...] = (2, 3, 4, 5)
    """skip-frame: the strides to draw from."""

    patch_side: float = 0.5
    """patch: the largest side, as a part of the frame's."""

    patch_move: float = 10
    """patch: the largest move from one frame to the next, px of a 256 px frame."""

    intruders: str = "samples"
    """patch: ``samples`` (photographs that scikit-image and scikit-learn ship), a folder of
    images, or CIFAR-100's binary file train.bin."""

    batch: int = 24
    """Clips of a step, over all processes."""

    epochs: int = 25
    """Passes over the clips."""

    max_clips: int | None = None
    """Stop after so many clips, even within an epoch; null has no limit."""

    drop_last: bool = False
    """Leave out what an epoch's clips have over a whole number of batches, as the peers do;
    else the clips are shared out over steps whose sizes differ by one at most."""

    initialisation: Literal["pytorch", "normal"] = "pytorch"
    """What weights begin at: PyTorch's defaults, or MemAE's N(0, 0.02), BatchNorm at N(1, 0.02)."""

    learning_rate: float = 1e-4
    """Adam's."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """``bf16`` computes under autocast; weights and loss stay fp32."""

    channels_last: bool = False
    """Lay clips out as (B, T, H, W, C) in memory: faster on many machines."""

    block: int = 256
    """Consecutive clips of one video that are read together."""

    buffer: int = 2048
    """Clips in the shuffle buffer; the larger, the better mixed and the more scattered."""

    architecture: AutoencoderSettings = field(default_factory=AutoencoderSettings)
    """The network."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "skip", tuple(self.skip))
        require(
            "network", self.network, self.network in ("spatial", "temporal"), "spatial or temporal"
        )
        require("seed", self.seed, 0 <= self.seed < 2**63, "in 0 ... 2^63 - 1")
        require(
            "size",
            self.size,
            self.size is None or (self.size >= 16 and self.size % 16 == 0),
            "null or a multiple of 16",
        )
        require("display", self.display, self.display in ("uvm", "color"), "uvm or color")
        for name in ("stride", "batch", "epochs", "block", "buffer"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        require(
            "pseudo_anomaly",
            self.pseudo_anomaly,
            self.pseudo_anomaly in ("shards", "patch", "skip-frame"),
            "shards, patch or skip-frame",
        )
        require(
            "initialisation",
            self.initialisation,
            self.initialisation in ("pytorch", "normal"),
            "pytorch or normal",
        )
        require("p", self.p, 0 <= self.p <= 1, "a probability, 0 ... 1")
        require(
            "skip",
            self.skip,
            len(self.skip) > 0 and all(s >= 2 for s in self.skip),
            "strides of at least 2",
        )
        require("patch_side", self.patch_side, 0 < self.patch_side <= 1, "in (0, 1]")
        require("patch_move", self.patch_move, self.patch_move >= 0, "at least 0")
        require(
            "max_clips",
            self.max_clips,
            self.max_clips is None or self.max_clips >= 1,
            "null or at least 1",
        )
        require("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        require("precision", self.precision, self.precision in ("fp32", "bf16"), "fp32 or bf16")
        if self.network == "temporal" and self.architecture.channels_in != 3:
            raise ConfigurationError(
                "channels_in: 1: is for frames; the temporal network is shown flow in 3 channels"
            )
        if self.network == "temporal" and self.pseudo_anomaly != "shards" and self.p > 0:
            raise ConfigurationError(
                f"pseudo_anomaly: {self.pseudo_anomaly!r} is defined on frames; the temporal "
                "network takes 'shards', or p 0"
            )

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages whose shards this training reads: normal clips first, then PAs."""
        normal, pseudo = (
            ("frames", "inpaint") if self.network == "spatial" else ("flow", "mixed_flow")
        )
        return (normal, pseudo) if self.p > 0 and self.pseudo_anomaly == "shards" else (normal,)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorTraining:
    """What decides the weights of D."""

    method: str = "unified"
    """The method's name, as results carry it."""

    seed: int = 0
    """Decides the initial weights and the order of frames."""

    hidden: int = 256
    """Width of the hidden layer."""

    normalise: bool = True
    """Scale features to unit L2 norm first."""

    batch: int = 16
    """Frames of a step, normal and inpainted together."""

    epochs: int = 20
    """Passes over the frames."""

    learning_rate: float = 0.02
    """SGD's."""

    momentum: float = 0.9
    """SGD's."""

    weight_decay: float = 1e-3
    """SGD's."""

    def __post_init__(self) -> None:
        require("seed", self.seed, 0 <= self.seed < 2**63, "in 0 ... 2^63 - 1")
        for name in ("hidden", "batch", "epochs"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        require("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        require("momentum", self.momentum, 0 <= self.momentum < 1, "in [0, 1)")
        require("weight_decay", self.weight_decay, self.weight_decay >= 0, "at least 0")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a training is carried out; nothing here is part of the recipe."""

    workers: int = 1
    """Processes that read clips while the network computes; 0 reads in between."""

    device: str = "auto"
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``."""

    deterministic: bool = True
    """GPU: only algorithms that repeat their results bit for bit."""

    resident: Literal["auto", "on", "off"] = "auto"
    """Keep the data set on the device and pick clips there. ``auto``: on a GPU, where it fits into
    half of the free memory. The weights do not depend on it."""

    checkpoint_minutes: float = 10
    """A checkpoint is written after every epoch and when so many minutes have passed."""

    max_minutes: float | None = None
    """Stop with a checkpoint after so many minutes, before a job's time limit does; the
    same command goes on. The weights do not depend on it."""

    snapshots: int | None = None
    """Also keep the weights of every so many epochs, in ``epochs/``."""

    reuse: str = ""
    """Another training's folder: if this very recipe was finished there, its weights are
    copied instead of trained again; else it is of no account."""

    holdout_stride: int = 16
    """The loss on held-out videos is taken over clips at every so many frames."""

    log_steps: int = 10
    """Steps between two lines of metrics.jsonl, besides a line an epoch. On a GPU, losses are
    looked at, and wishes to stop heeded, no more often."""

    engine: Engine = "plain"
    """``plain``: PyTorch's layers. ``fast``: the same network by this project's own kernels,
    equal to rounding; for processors, fp32, sides that are multiples of 32."""

    tracker: Literal["none", "tensorboard", "mlflow", "wandb"] = "none"
    """Where metrics go besides metrics.jsonl; each is an extra of its name. MLflow writes to
    MLFLOW_TRACKING_URI, W&B needs no account with WANDB_MODE=offline."""

    def __post_init__(self) -> None:
        require("workers", self.workers, self.workers >= 0, "at least 0")
        require(
            "checkpoint_minutes", self.checkpoint_minutes, self.checkpoint_minutes > 0, "above 0"
        )
        require(
            "max_minutes",
            self.max_minutes,
            self.max_minutes is None or self.max_minutes > 0,
            "null or above 0",
        )
        require(
            "snapshots",
            self.snapshots,
            self.snapshots is None or self.snapshots >= 1,
            "null or at least 1",
        )
        require("holdout_stride", self.holdout_stride, self.holdout_stride >= 1, "at least 1")
        require("engine", self.engine, self.engine in ("plain", "fast"), "plain or fast")
        require("resident", self.resident, self.resident in ("auto", "on", "off"), "auto, on, off")
        require("log_steps", self.log_steps, self.log_steps >= 1, "at least 1")
        require(
            "tracker",
            self.tracker,
            self.tracker in ("none", "tensorboard", "mlflow", "wandb"),
            "none, tensorboard, mlflow or wandb",
        )
