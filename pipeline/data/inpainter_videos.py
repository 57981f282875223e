"""Write the videos on which the embedded inpainter was trained.

    python -m pipeline.data.inpainter_videos OUT

Generated plazas, each of a place of its own, with seeds apart from the demo's; and pans
over photographs that scikit-image and scikit-learn ship and that may be redistributed.
Below ``OUT/normal``, as ``data_manifests/custom.yaml`` wants them; docs/inpainting.md says
how they become the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from pipeline.base.cli import Parser
from pipeline.base.errors import ConfigurationError, MachineError, run_main
from pipeline.data.plaza.demo import render_scene

FIRST_SEED = 100_000
"""The demo's seeds are below this, or above half a million."""
PLAZAS, PLAZA_FRAMES = 120, 16
PHOTOS, PHOTO_FRAMES = 4, 16
SIZE = (240, 320)
HELD_OUT_EVERY = 12

PHOTOGRAPHS = {
    "skimage.data": (
        "astronaut.png",
        "brick.png",
        "chelsea.png",
        "coffee.png",
        "grass.png",
        "gravel.png",
        "rocket.jpg",
    ),
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
}
"""In the public domain or CC0, the last two CC BY 2.0 (danielbuechele, vultilion, Flickr)."""


def plaza(number: int) -> Iterator[np.ndarray]:
    """Yield the frames of a plaza, (240, 320, 3) uint8, a second apart so that they differ."""
    seed = FIRST_SEED + number
    rendered = render_scene(seed, frames=PLAZA_FRAMES, height=SIZE[0], width=SIZE[1], fps=1.0)
    for frame in rendered:
        yield frame.frame


def pan(photo: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield windows of a photograph that wander and zoom, (240, 320, 3) uint8."""
    height, width = photo.shape[:2]
    for _ in range(PHOTO_FRAMES):
        share = rng.uniform(0.35, 1.0) * min(height / SIZE[0], width / SIZE[1])
        h, w = round(SIZE[0] * share), round(SIZE[1] * share)
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        window = photo[top : top + h, left : left + w]
        yield cv2.resize(window, SIZE[::-1], interpolation=cv2.INTER_AREA)


def photographs() -> Iterator[np.ndarray]:
    """Yield the photographs, (H, W, 3) uint8 RGB."""
    for package, names in PHOTOGRAPHS.items():
        for name in names:
            data = (resources.files(package) / name).read_bytes()
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                raise MachineError(f"{package}/{name}: cannot be read; install {package} again")
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_videos(out: Path) -> None:
    """Write all videos below ``out/normal``.

    Raises
    ------
    ConfigurationError
        If ``out`` is there already.
    MachineError
        If OpenCV cannot write video here.
    """
    if out.exists():
        raise ConfigurationError(f"{out}: is there already; name a new folder")
    folder = out / "normal"
    folder.mkdir(parents=True)
    for number in range(PLAZAS):
        _write(folder / f"plaza_{number:03d}.mp4", plaza(number))
    for number, photo in enumerate(photographs()):
        for take in range(PHOTOS):
            rng = np.random.default_rng([FIRST_SEED, number, take])
            _write(folder / f"photo_{number:02d}_{take}.mp4", pan(photo, rng))


def _write(path: Path, frames: Iterator[np.ndarray]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, SIZE[::-1])
    if not writer.isOpened():
        raise MachineError(f"{path}: OpenCV cannot write mp4v video here; reinstall opencv")
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def main() -> int:
    """Run the command line."""
    parser = Parser(prog="python -m pipeline.data.inpainter_videos", description=__doc__)
    parser.add_argument("out", type=Path, help="A new folder.")
    write_videos(parser.parse_args().out)
    return 0


if __name__ == "__main__":
    run_main(main)
