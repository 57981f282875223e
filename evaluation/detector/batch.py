"""Score several videos, one after the other; one that cannot be read does not stop the rest."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from evaluation.detector.addresses import Address
from evaluation.detector.detect import Found, detect_video
from evaluation.detector.detector import Detector
from evaluation.detector.page import write_detection_report
from evaluation.detector.places import claim_folders, report_path
from evaluation.detector.sources import Source, open_source
from evaluation.measures.threshold import many
from evaluation.report.page import Page
from pipeline.base.errors import ConfigurationError, DataError, ProjectError
from pipeline.base.progress import progress_bar
from pipeline.data.video.write import Codec


@dataclasses.dataclass(frozen=True)
class Reading:
    """How frames are read.

    Attributes
    ----------
    fps
        Of folders of images.
    every
        Every n-th frame is taken.
    seconds
        Of each video, at most.
    """

    fps: float | None = None
    every: int = 1
    seconds: float | None = None


def detect_all(
    detector: Detector,
    addresses: Sequence[Address],
    out: Path,
    reading: Reading,
    codec: Codec | None,
    page: Page,
) -> int:
    """Score all, write everything, and return the exit status.

    Returns
    -------
    0, or 1 if some could not be scored; that of the first error if none could.
    """
    addresses = told_apart(addresses)
    folders = claim_folders(out, addresses, {"run": detector.run.name})
    batch = detector.batch
    share = dataclasses.replace(page, thumbnails=page.thumbnails // len(addresses))
    found: list[Found] = []
    failed: list[tuple[Address, ProjectError]] = []
    for address, folder in zip(addresses, folders, strict=True):
        try:
            source = _open(detector, address, reading)
            detector.batch = 1 if source.live else batch
            found.append(_detect(detector, source, folder, reading, codec, share))
        except (DataError, ConfigurationError) as error:
            failed.append((address, error))
            if len(addresses) > 1:
                print(f"error: {error}", file=sys.stderr, flush=True)
    if failed and len(addresses) == 1:
        raise failed[0][1]
    if failed:
        names = ", ".join(address.name for address, _ in failed)
        print(f"not scored, or not to the end: {names}", file=sys.stderr)
    if not found:
        return failed[0][1].exit_status
    print(write_detection_report(detector, found, report_path(folders[0])))
    return 1 if failed else 0


def told_apart(addresses: Sequence[Address]) -> list[Address]:
    """Let videos of one name be named with their folders."""
    names = [address.name for address in addresses]
    return [
        dataclasses.replace(address, label=address.shown)
        if names.count(address.name) > 1
        else address
        for address in addresses
    ]


def say(text: str) -> None:
    """Print a line at once, above a progress bar."""
    tqdm.write(text)
    sys.stdout.flush()


def _open(detector: Detector, address: Address, reading: Reading) -> Source:
    """Open a video; before a camera's first frame everything is compiled."""
    if address.path is None:
        detector.batch = 1
        detector.warm_up()
    source = open_source(address, reading.fps, reading.every)
    if reading.fps is not None and not (address.path and address.path.is_dir()):
        say(f"{source.name}: knows its own times, so --fps says nothing of it")
    return source


def _detect(
    detector: Detector,
    source: Source,
    folder: Path,
    reading: Reading,
    codec: Codec | None,
    page: Page,
) -> Found:
    if source.live:  # a service manager's way to say Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        say(f"{source.name}: scoring; its files in {folder} grow as it goes")
    with progress_bar(source.total, source.name) as bar:
        one = detect_video(
            detector,
            source,
            folder,
            codec=codec,
            seconds=reading.seconds,
            page=page,
            progress=bar,
            say=say,
        )
    say(
        f"{source.name}: {one.frames} frames at {one.frames / one.seconds:.1f} a second, "
        f"{many(len(one.events), 'event')}: {folder}"
    )
    if source.live and one.seen.delays:
        delays = sorted(one.seen.delays)
        say(
            f"{source.name}: delay {delays[len(delays) // 2]:.2f} s (median), "
            f"{delays[-1]:.2f} s (largest), {source.dropped} frames dropped"
        )
        if source.dropped:
            say(
                f"{source.name}: {one.fps:.1f} frames a second were kept up with; motion over "
                "dropped frames looks faster: take --every 2 or more"
            )
    return one
