"""Pseudo-anomalies that no network was trained on: a video's own objects, out of place and fast.

Choosing η on the pseudo-anomalies that D and the autoencoders were trained on is circular: D
tells inpainted frames from others almost perfectly, by what the inpainter leaves behind, and
would be given all the weight, whatever it says of real anomalies. Movers are made otherwise:
an object of the video, cut out along its mask, perhaps mirrored, travels over the frames on a
straight line, reflected at the borders, one to two times as fast as the fastest things that
move there. All three indicators see the very same anomaly: new pixels in the frames, their
flow by TV-L1, their features.

**Choice** (docs/method.md, 8). The other is held-out normal videos and the pseudo-anomalies of the
training, the setting ``fusing.pseudo: own``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from pipeline.base.errors import DataError
from pipeline.shards.reader import Dataset, VideoInfo
from pipeline.stages.live import Live

SEGMENT = 40
"""Frames for which one object travels; then comes another."""

CHUNK = 64
"""Frames whose features are computed at once."""

SMALLEST, LARGEST = 0.0005, 0.1
"""Size of an object, as a share of the frame."""

FASTEST = 99.5
"""Percentile of the flow's magnitude that counts as the fastest of what moves."""


@dataclass(frozen=True)
class Mover:
    """An object on its way.

    Attributes
    ----------
    image, alpha
        (h, w, 3) float32 and (h, w, 1) float32 in [0, 1].
    start, step
        (x, y) of its corner in the segment's first frame, and px a frame.
    """

    image: np.ndarray
    alpha: np.ndarray
    start: np.ndarray
    step: np.ndarray

    def place(self, frame: np.ndarray, time: int) -> np.ndarray:
        """Return a copy of a frame (S, S, 3) uint8 with the object where it is by then."""
        height, width = self.alpha.shape[:2]
        room = np.array([frame.shape[1] - width, frame.shape[0] - height], float)
        x, y = np.round(reflect(self.start + time * self.step, room)).astype(int)
        result = frame.copy()
        part = result[y : y + height, x : x + width]
        part[...] = np.round(part * (1 - self.alpha) + self.image * self.alpha).astype(np.uint8)
        return result


class Movers:
    """A held-out normal video with movers in it, read like the shards of the video itself.

    Parameters
    ----------
    dataset, video
        Whose frames, masks and flow are used.
    live
        Computes flow and features as the pipeline does.
    """

    def __init__(self, dataset: Dataset, video: VideoInfo, live: Live) -> None:
        self._images = dataset.arrays("frames", video.name)["image"]
        self._masks = dataset.arrays("masks", video.name)["mask"]
        self._flows = dataset.arrays("flow", video.name)["flow"]
        self._video, self._live = video, live
        self._speed = self._fastest()
        self._movers: dict[int, Mover] = {}

    @property
    def video_name(self) -> str:
        """The video that they are of."""
        return self._video.name

    @property
    def frames(self) -> int:
        """How many there are."""
        return self._video.frames

    def read(self, stage: str, start: int, stop: int) -> np.ndarray:
        """Return a stage's array, as :class:`evaluation.record.material.Material` says."""
        read = {
            "frames": self.images,
            "flow": self.flow,
            "features": self.features,
            "patches": self.patches,
        }
        return read[stage](start, stop)

    def images(self, start: int, stop: int) -> np.ndarray:
        """Return frames (n, S, S, 3) uint8."""
        images = self._images[start:stop]
        return np.stack(
            [
                self._mover(t // SEGMENT).place(image, t % SEGMENT)
                for t, image in enumerate(images, start)
            ]
        )

    def flow(self, start: int, stop: int) -> np.ndarray:
        """Return the flow of each frame, the last repeated: (n, S, S, 2) float32."""
        last = self._video.frames
        first = min(start, last - 2)  # of the last frame alone, the flow is the one before it
        flow = self._live.flow(self.images(first, min(stop + 1, last))).astype(np.float32)
        flow = np.concatenate([flow, flow[-1:]]) if stop == last else flow
        return flow[start - first :]

    def features(self, start: int, stop: int) -> np.ndarray:
        """Return the feature vector of each frame: (n, D) float32."""
        parts = [range(t, min(t + CHUNK, stop)) for t in range(start, stop, CHUNK)]
        return np.concatenate(
            [self._live.features(self.images(part.start, part.stop)) for part in parts]
        )

    def patches(self, start: int, stop: int) -> np.ndarray:
        """Return the descriptors of the places of frames, read in order: (n, h, w, C) float16."""
        return self._live.patches(self.images(start, stop), start)

    def _fastest(self) -> float:
        """Speed of the fastest of what moves in the video, at least 1 px a frame."""
        some = np.linspace(0, len(self._flows) - 1, min(len(self._flows), 24)).astype(int)
        speeds = [np.linalg.norm(self._flows[int(t)].astype(np.float32), axis=-1) for t in some]
        return max(1.0, float(np.percentile(np.stack(speeds), FASTEST)))

    def _mover(self, segment: int) -> Mover:
        if segment not in self._movers:
            digest = hashlib.sha256(f"movers {self._video.name} {segment}".encode()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            self._movers[segment] = self._make(rng)
        return self._movers[segment]

    def _make(self, rng: np.random.Generator) -> Mover:
        image, mask = self._object(rng)
        if rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        side = self._images.shape[1]
        angle = rng.uniform(0, 2 * np.pi)
        step = rng.uniform(1, 2) * self._speed * np.array([np.cos(angle), np.sin(angle)])
        start = rng.uniform(0, 1, 2) * (side - np.array(mask.shape[::-1]))
        return Mover(image.astype(np.float32), soft(mask), start, step)

    def _object(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Cut an object of usual size out of a random frame: (h, w, 3) uint8, (h, w) uint8."""
        for frame in rng.permutation(len(self._masks))[:200]:
            mask = np.asarray(self._masks[int(frame)])
            if SMALLEST <= mask.mean() <= LARGEST:
                ys, xs = np.nonzero(mask)
                box = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
                return self._images[int(frame)][box], mask[box]
        raise DataError(
            f"masks of {self._video.name}: none covers {SMALLEST:.2%} to {LARGEST:.0%} of a frame, "
            "so no object can be cut out; set scoring.movers: false and fusing.pseudo: own"
        )


def reflect(place: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Fold a straight line into [0, room], as if reflected at both ends.

    >>> reflect(np.array([3.0, 12.0]), np.array([10.0, 10.0])).tolist()
    [3.0, 8.0]
    """
    period = 2 * np.maximum(room, 1e-9)
    folded = np.mod(place, period)
    return np.clip(np.minimum(folded, period - folded), 0, np.maximum(room, 0))


def soft(mask: np.ndarray) -> np.ndarray:
    """Return a mask (h, w) as (h, w, 1) float32 whose edge is a pixel soft, inwards."""
    import cv2

    padded = np.pad(mask.astype(np.float32), 2)
    blurred = cv2.GaussianBlur(padded, (3, 3), 0)[2:-2, 2:-2]
    return (blurred * mask)[..., None].astype(np.float32)
