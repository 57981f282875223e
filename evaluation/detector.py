"""Frames in, scores out, one at a time: a trained run as a detector.

>>> from evaluation import Detector                                      # doctest: +SKIP
>>> detector = Detector("runs/gate/quick/unified-seed0")                 # doctest: +SKIP
>>> for image in camera:                                                 # doctest: +SKIP
...     for score in detector.push(image):
...         print(score.frame, score.total, score.total > detector.threshold.value)
>>> rest = detector.finish()                                             # doctest: +SKIP

Scores are those of the protocol ``dense`` on the scale of held-out normal videos, which knows
nothing of the stream's future: 1 is the most unusual of those frames. The score of a frame is
there 9 frames later (8 that complete its window, one that its last flow leads to), and with
``batch`` above 1 up to ``batch - 1`` more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import protocols
from evaluation.auc_table import heldout_fused
from evaluation.fusion import fuse
from evaluation.indicators import Scoring, Trained, load_networks, probabilities
from evaluation.pictures import combined
from evaluation.run import Run, open_run, read_metrics
from evaluation.scores import INDICATORS, open_scores
from evaluation.stream import DELAY, ErrorStream, MeanStream
from evaluation.threshold import Alarm, Threshold, choose_threshold
from pipeline.errors import ConfigurationError
from pipeline.live import Live


@dataclass(frozen=True)
class FrameScore:
    """What a detector says of one frame.

    Attributes
    ----------
    frame
        Counted from 0.
    omegas
        ``spatial``, ``temporal``, ``discriminator`` (ω1, ω2, ω3), those that were trained.
    total
        ω_agg.
    heat
        (h, w) float32 error heat map, 0.5 where normal frames hardly ever are, 1 far beyond;
        None without maps.
    """

    frame: int
    omegas: dict[str, float]
    total: float
    heat: np.ndarray | None


class Detector:
    """Scores a stream of frames with a trained run.

    Parameters
    ----------
    run
        The method's folder; it must be scored (``python -m evaluation score``), since that
        sets the scale, η and the threshold on held-out normal videos.
    alarm
        The false alarms an hour that are acceptable.
    batch
        Frames that are computed together; 1 has the shortest delay, 8 the highest rate.
    scoring
        Precision and device; its batch and stride do not apply.
    maps
        Whether scores carry heat maps.
    features_model
        For D on ViFi-CLIP or CLIP features: where that model lies.
    fps
        Frames a second of the held-out videos, where their files do not say.

    Raises
    ------
    ConfigurationError, DataError
        If the run is not complete, or has no held-out normal videos.
    """

    def __init__(
        self,
        run: str | Path | Run,
        alarm: Alarm | None = None,
        *,
        batch: int = 1,
        scoring: Scoring | None = None,
        maps: bool = True,
        features_model: str = "",
        fps: float | None = None,
    ) -> None:
        self.run = run if isinstance(run, Run) else open_run(run)
        if batch < 1:
            raise ConfigurationError(f"batch: {batch} is below 1")
        self.batch = batch
        self.scoring = scoring or Scoring()
        calibration = read_metrics(self.run.out)["detector"]
        if calibration is None:
            raise ConfigurationError(
                f"{self.run.folder}: has no held-out normal videos, so there is no scale to score "
                "a stream on; run the pipeline with --source.holdout above 0, train and score again"
            )
        self.eta: dict[str, float] = calibration["eta"]
        self._limits = {name: tuple(pair) for name, pair in calibration["limits"].items()}
        self._map_limits: dict[str, float] = calibration["map_limits"]
        self.alarm = alarm or Alarm()
        self.threshold = self._threshold(calibration, fps)
        self._maps = (self.scoring.maps or 64) if maps and self._map_limits else 0
        self._networks = load_networks(self.run, self.scoring)
        self._live = Live(self.run.dataset, features_model)
        self.reset()

    @property
    def delay(self) -> int:
        """Frames after which a frame's score is there, at most."""
        return DELAY + ("temporal" in self._networks) + self.batch - 1

    @property
    def indicators(self) -> tuple[str, ...]:
        """The indicators that are computed."""
        return tuple(name for name in INDICATORS if name in self._networks)

    def reset(self) -> None:
        """Forget the stream, for the next one."""
        precision = self.scoring.precision
        self._streams: dict[str, Any] = {
            name: MeanStream()
            if name == "discriminator"
            else ErrorStream(trained.network, trained.measure, precision, self._maps)
            for name, trained in self._networks.items()
        }
        self._waiting: list[np.ndarray] = []
        self._last_image: np.ndarray | None = None
        self._last_flow: np.ndarray | None = None
        self._known: dict[str, deque[float]] = {name: deque() for name in self._networks}
        self._heat: dict[str, deque[np.ndarray]] = {name: deque() for name in self._map_limits}
        self._next = 0

    def push(self, image: np.ndarray) -> list[FrameScore]:
        """Take the next frame; return the scores that are now known, in order.

        Parameters
        ----------
        image
            (H, W, 3) uint8 RGB, of any size.
        """
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ConfigurationError(
                f"a frame of shape {image.shape} and type {image.dtype}: expected (H, W, 3) "
                "uint8 RGB"
            )
        self._waiting.append(image)
        if len(self._waiting) < self.batch:
            return []
        self._advance()
        return self._ready()

    def finish(self) -> list[FrameScore]:
        """Say that the stream has ended; return the scores of the frames that are left."""
        if self._waiting:
            self._advance()
        if self._last_image is not None:
            self._end()
        scores = self._ready()
        self.reset()
        return scores

    def scores(self, images: Iterable[np.ndarray]) -> Iterator[FrameScore]:
        """Score all frames of an iterable."""
        for image in images:
            yield from self.push(image)
        yield from self.finish()

    def _advance(self) -> None:
        """Compute what the waiting frames bring."""
        images = self._live.frames(self._waiting)
        self._waiting = []
        if "spatial" in self._networks:
            self._add("spatial", self._streams["spatial"].push(self._shown("spatial", images)))
        if "discriminator" in self._networks:
            features = self._live.features(images)
            values = probabilities(features, self._networks["discriminator"].network)
            self._known["discriminator"].extend(self._streams["discriminator"].push(values))
        if "temporal" in self._networks:
            joined = images
            if self._last_image is not None:
                joined = np.concatenate([self._last_image[None], images])
            if len(joined) > 1:
                flow = self._live.flow(joined).astype(np.float32)
                self._last_flow = flow[-1:]
                self._add("temporal", self._streams["temporal"].push(self._shown("temporal", flow)))
        self._last_image = images[-1]

    def _end(self) -> None:
        """Compute what the stream's end brings: last frames and the last flow repeated."""
        if "spatial" in self._networks:
            self._add("spatial", self._streams["spatial"].finish())
        if "discriminator" in self._networks:
            self._known["discriminator"].extend(self._streams["discriminator"].finish())
        if "temporal" in self._networks:
            if self._last_flow is None:
                raise ConfigurationError("a stream of one frame has no flow; at least 2 are needed")
            again = self._shown("temporal", self._last_flow)
            self._add("temporal", self._streams["temporal"].push(again))
            self._add("temporal", self._streams["temporal"].finish())

    def _shown(self, name: str, stored: np.ndarray) -> Any:
        """Turn frames or flow into what a network sees, (n, 3, H, W)."""
        import torch

        from training.reading import area_resize, to_network

        trained: Trained = self._networks[name]
        small = np.ascontiguousarray(area_resize(stored, trained.settings["size"]))
        display = trained.settings["display"]
        clips = to_network(torch.from_numpy(small)[None], trained.flow_scale, display)
        return clips[0].movedim(1, 0)

    def _add(self, name: str, found: tuple[np.ndarray, np.ndarray | None]) -> None:
        errors, maps = found
        self._known[name].extend(errors)
        if maps is not None and name in self._heat:
            self._heat[name].extend(maps)

    def _ready(self) -> list[FrameScore]:
        """Return the frames of which every indicator is known."""
        scores = []
        for _ in range(min(len(values) for values in self._known.values())):
            omegas = {
                name: self._omega(name, float(self._known[name].popleft()))
                for name in self.indicators
            }
            parts = {name: part.popleft() for name, part in self._heat.items() if part}
            heat = combined(parts, self._map_limits) if self._maps and parts else None
            total = float(fuse({k: np.array(v) for k, v in omegas.items()}, self.eta))
            scores.append(FrameScore(self._next, omegas, total, heat))
            self._next += 1
        return scores

    def _omega(self, name: str, value: float) -> float:
        if name == "discriminator":
            return value
        raw = np.array(value)
        if name == "spatial" and self._networks[name].measure == "frame":
            raw = -protocols.psnr(raw)
        return float(protocols.scale(raw, self._limits[name]))

    def _threshold(self, calibration: dict[str, Any], fps: float | None) -> Threshold:
        videos = self.run.heldout_videos
        rates = {video.fps for video in videos if video.fps}
        rate = fps or (min(rates) if rates else None)
        if rate is None and self.alarm.threshold is None:
            raise ConfigurationError(
                "fps: the held-out normal videos do not say how many frames a second they have, so "
                "there is no false alarm rate; give --fps (or fps in the manifest), or "
                "--alarm.threshold"
            )
        normal = heldout_fused(open_scores(self.run.out / "scores"), calibration)
        return choose_threshold(normal, rate or 25.0, self.alarm)
