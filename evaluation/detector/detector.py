"""Frames in, scores out, one at a time: a trained run as a detector.

>>> from evaluation import Detector                                      # doctest: +SKIP
>>> detector = Detector("runs/gate/quick/unified-seed0")                 # doctest: +SKIP
>>> for image in camera:                                                 # doctest: +SKIP
...     for score in detector.push(image):
...         print(score.frame, score.total, score.total > detector.threshold.value)
>>> rest = detector.finish()                                             # doctest: +SKIP

Scores are those of a protocol on the scale of normal training videos, which knows nothing of
the stream's future but a few frames. With ``local`` (the default, docs/local.md) a frame is
judged by its most unusual place: 3 is reached by one normal frame in a thousand. Its score is
there 17 frames later: 8 that complete the window of A^t, one that its last flow leads to, and
8 over which what moves is followed; 9 with the flow alone. With ``dense`` a frame is judged by
its mean error: 1 is the most unusual held-out normal frame, and the score is there 9 frames
later. ``batch`` above 1 adds up to ``batch - 1``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.detector.scales import SCALES, Scale, Scaled
from evaluation.indicators.registry import by_name
from evaluation.indicators.settings import Scoring
from evaluation.measures.auc_table import check_fresh
from evaluation.measures.fusion import fuse
from evaluation.measures.threshold import Alarm, Threshold, choose_threshold
from evaluation.record.run import Run, open_run
from evaluation.record.scores import open_scores
from evaluation.scoring.live import Raw, RawStream
from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import VideoInfo
from pipeline.stages.live import Live


@dataclass(frozen=True)
class FrameScore:
    """What a detector says of one frame.

    Attributes
    ----------
    frame
        Counted from 0.
    omegas
        Indicator to its ω, those that are fused.
    total
        ω_agg.
    heat
        (h, w) float32 heat map, 0.5 where normal frames hardly ever are, 1 far beyond; None
        without maps.
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
        sets the scale, η and the threshold on normal videos.
    alarm
        The false alarms an hour that are acceptable.
    protocol
        ``local`` or ``dense``.
    indicators
        For ``local``: what is fused, with equal weights; by default the flow and, where it was
        trained, A^t. ``("flow",)`` needs no network and is the fastest.
    scene
        For ``local`` and a run on several cameras: the one that the stream is of; "" takes the
        level of all.
    batch
        Frames that are computed together; 1 has the shortest delay, 8 the highest rate.
    scoring
        Precision and device; its batch and stride do not apply.
    maps
        Whether scores carry heat maps.
    features_model
        For D on ViFi-CLIP or CLIP features: where that model lies.
    fps
        Frames a second of those normal videos whose files do not say.

    Raises
    ------
    ConfigurationError, DataError
        If the run is not complete, was trained anew since it was scored, or has no held-out normal
        videos.
    """

    def __init__(
        self,
        run: str | Path | Run,
        alarm: Alarm | None = None,
        *,
        protocol: str = "local",
        indicators: Sequence[str] | None = None,
        scene: str = "",
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
        self.protocol = protocol
        scores = open_scores(self.run.out / "scores")
        check_fresh(self.run, scores)
        self._measures: dict[str, str] = scores.provenance.get("measures", {})
        self.scoring = scoring or Scoring()
        self.scale = self._scale(indicators, scene, maps)
        self.eta = self.scale.eta
        self.alarm = alarm or Alarm()
        self.threshold = self._threshold(fps)
        settings = dataclasses.replace(self.scoring, batch=batch, stride=1, maps=self.scale.cells)
        self._streams = {n: by_name(n).load(self.run, settings) for n in self.scale.computed}
        self._live = Live(self.run.dataset, features_model)
        self.reset()

    @property
    def delay(self) -> int:
        """Frames after which a frame's score is there, at most."""
        return self._raw.delay + self.scale.delay + self.batch - 1

    @property
    def rates(self) -> tuple[float, float] | None:
        """The lowest and the highest frame rate of the normal videos, if they say."""
        rates = [video.fps for video in self.run.dataset.select(split="train") if video.fps]
        return (min(rates), max(rates)) if rates else None

    @property
    def indicators(self) -> tuple[str, ...]:
        """The indicators that are computed."""
        return self.scale.indicators

    def reset(self) -> None:
        """Forget the stream, for the next one."""
        self._raw = RawStream(self._live, self._streams, self._measures)
        self.scale.start()
        self._waiting: list[np.ndarray] = []
        self._next = 0

    def warm_up(self) -> None:
        """Score a few frames of noise, so that all is compiled before a camera's first frame."""
        noise = np.random.default_rng(0).integers(0, 256, (self.delay + 2, 240, 320, 3))
        for _ in self.scores(noise.astype(np.uint8)):
            pass

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
        return self._advance() if len(self._waiting) == self.batch else []

    def finish(self) -> list[FrameScore]:
        """Say that the stream has ended; return the scores of the frames that are left."""
        scores = self._advance() if self._waiting else []
        scores += self._judge(self._raw.finish()) + self._count(self.scale.finish())
        self.reset()
        return scores

    def scores(self, images: Iterable[np.ndarray]) -> Iterator[FrameScore]:
        """Score all frames of an iterable."""
        for image in images:
            yield from self.push(image)
        yield from self.finish()

    def _advance(self) -> list[FrameScore]:
        """Take the frames that wait."""
        images, self._waiting = self._waiting, []
        return self._judge(self._raw.push(images))

    def _judge(self, known: list[Raw]) -> list[FrameScore]:
        return [score for raw in known for score in self._count(self.scale.push(raw))]

    def _count(self, scaled: list[Scaled]) -> list[FrameScore]:
        """Fuse and number the next frames."""
        scores = []
        for one in scaled:
            parts = {name: np.array(value) for name, value in one.omegas.items()}
            total = float(fuse(parts, self.eta))
            scores.append(FrameScore(self._next, one.omegas, total, one.heat))
            self._next += 1
        return scores

    def _scale(self, indicators: Sequence[str] | None, scene: str, maps: bool) -> Scale:
        if self.protocol not in SCALES:
            raise ConfigurationError(
                f"protocol: {self.protocol!r} is none that a stream has a scale by: "
                f"{', '.join(SCALES)}"
            )
        side = self.scoring.maps or 64
        return SCALES[self.protocol](self.run, indicators, scene, side if maps else 0)

    def _threshold(self, fps: float | None) -> Threshold:
        """Set the threshold on the held-out videos whose frames have times."""
        held = [v for v in open_scores(self.run.out / "scores").videos.values() if v.holdout]
        times = [_edges(video, fps) for video in held]
        if any(one is None for one in times) and self.alarm.threshold is None:
            raise ConfigurationError(
                "fps: the held-out normal videos do not say how many frames a second they have, so "
                "there is no false alarm rate; give --fps (or fps in the manifest), or "
                "--alarm.threshold"
            )
        timed = [
            (scores, one)
            for scores, one in zip(self.scale.normal(), times, strict=True)
            if one is not None
        ]
        return choose_threshold([one[0] for one in timed], [one[1] for one in timed], self.alarm)


def _edges(video: VideoInfo, fps: float | None) -> np.ndarray | None:
    """Return when each frame begins, and the last one ends: (N + 1,) seconds."""
    known = video if video.fps or video.times else replace(video, fps=fps)
    begins = known.seconds()
    if begins is None:
        return None
    last = 1 / known.fps if known.fps else float(np.median(np.diff(begins)))
    return np.append(begins, begins[-1] + last)
