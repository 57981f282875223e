"""The commands of ``python -m evaluation``, each a function whose parameters are its options."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from evaluation.indicators.settings import Scoring
from evaluation.measures.results import Fusing
from evaluation.measures.threshold import Alarm
from evaluation.report.page import Page


def score(
    run: Path,
    shards: Path | None = None,
    scoring: Scoring = Scoring(),  # noqa: B008 - frozen
    fusing: Fusing = Fusing(),  # noqa: B008
    page: Page = Page(),  # noqa: B008
) -> None:
    """Score the test and the held-out videos of a run, and print its AUC table.

        python -m evaluation score --config evaluation/presets/quick.yaml --run RUN

    What was scored already with the same weights, shards and settings is not scored again.
    Exit status: 0 scored; 2 a wrong setting; 3 wrong data; 4 the machine.

    Args:
        run: The method's folder, such as runs/ped2/quick/unified-seed0.
        shards: Another data set's shards.json, to see how the run transfers to it.
        scoring: How frames are scored.
        fusing: How scores become the table.
        page: Without effect here; it is taken since a preset holds the settings of all commands.
    """
    from evaluation.record.run import open_run
    from evaluation.scoring.score import score_run

    score_run(open_run(run, shards), scoring)
    fuse(run, shards, scoring, fusing, page)


def fuse(
    run: Path,
    shards: Path | None = None,
    scoring: Scoring = Scoring(),  # noqa: B008
    fusing: Fusing = Fusing(),  # noqa: B008
    page: Page = Page(),  # noqa: B008
) -> None:
    """Make the AUC table from saved scores, without the networks; writes metrics.json.

        python -m evaluation fuse --config evaluation/presets/quick.yaml --run RUN

    Args:
        run: The method's folder.
        shards: As it was scored with.
        scoring: Without effect here; it is taken since a preset holds the settings of all commands.
        fusing: Protocols, η, confidence intervals.
        page: Without effect here; it is taken since a preset holds the settings of all commands.
    """
    from evaluation.measures.auc_table import evaluate, table
    from evaluation.record.run import open_run

    opened = open_run(run, shards)
    print(table(evaluate(opened, fusing)))
    print(opened.out / "metrics.json")


def report(
    run: Path,
    shards: Path | None = None,
    scoring: Scoring = Scoring(),  # noqa: B008
    fusing: Fusing = Fusing(),  # noqa: B008
    page: Page = Page(),  # noqa: B008
) -> None:
    """Write a scored run's report.html (one file, no network) and its figures.

    Args:
        run: The method's folder.
        shards: As it was scored with.
        scoring: Without effect here; it is taken since a preset holds the settings of all commands.
        fusing: Without effect here; the table is that of metrics.json.
        page: Pictures and figures.
    """
    from evaluation.measures.auc_table import table
    from evaluation.record.run import open_run, read_metrics
    from evaluation.report.figures import write_figures
    from evaluation.report.report import write_report

    opened = open_run(run, shards)
    path = write_report(opened, page)
    print(table(read_metrics(opened.out)))
    if page.figures:
        figures = write_figures(opened)
        print(f"{len(figures)} figures in {opened.out / 'figures'}")
    print(opened.out / "metrics.json")
    print(path)


def detect(
    run: Path,
    videos: list[str],
    out: Path,
    alarm: Alarm = Alarm(),  # noqa: B008
    protocol: str = "local",
    indicators: list[str] | None = None,
    scene: str = "",
    batch: int = 8,
    fps: float | None = None,
    every: int = 1,
    seconds: float | None = None,
    overlay: Literal["h264"] | None = "h264",
    features_model: str = "",
    scoring: Scoring = Scoring(),  # noqa: B008
    fusing: Fusing = Fusing(),  # noqa: B008
    page: Page = Page(),  # noqa: B008
) -> int:
    """Score videos that were never seen: scores, events, an overlay video and a report.

        python -m evaluation detect --run RUN ONE.mp4 TWO.mp4 --out OUT
        python -m evaluation detect --run RUN rtsp://camera/stream --out OUT --seconds 3600

    A video is a file, a folder of videos, a folder of images, a camera's number, or an address:
    rtsp://... and whatever sends as it films is live, a file on a web server is read whole. A
    camera is scored one frame at a time until it ends, --seconds have passed or Ctrl-C; frames
    that come faster than they are scored are dropped, so that the delay stays bounded. Events
    are said when they begin and when they end, and the tables grow frame by frame.

    A video that cannot be read does not stop the others. Exit status: 0 all are scored; 1 some
    are not, which is said; 2 a wrong setting; 3 wrong data; 4 the machine.

    Args:
        run: The method's folder; it must have been scored.
        videos: Files, folders, camera numbers or addresses.
        out: Folder for the results, one folder a video in it; nothing that another video left
            there is written over.
        alarm: The false alarms an hour that are acceptable, and what an event is.
        protocol: local judges a frame by its most unusual place, on a scale of false alarms (3:
            one normal frame in a thousand); dense by its mean error (1: the most unusual
            held-out frame).
        indicators: For local, what is fused: of flow, spatial, temporal, discriminator and
            appearance; by default flow and temporal (A^t). [flow] alone needs no network and is
            the fastest.
        scene: For local and a run on several cameras, the one that the videos are of; by default
            what is normal for all of them counts.
        batch: Frames computed together, for files; a camera's are scored one by one.
        fps: Frames a second of folders of images, which cannot say them; files and cameras can.
        every: Score every n-th frame alone. A stream is to have about the frame rate of the
            training videos, since flow is in pixels a frame.
        seconds: Stop after so many seconds of each video.
        overlay: The overlay video's codec, or null for none.
        features_model: For D on ViFi-CLIP or CLIP features: where that model lies.
        scoring: Precision, device and the heat maps' size.
        fusing: Without effect here; it is taken since a preset holds the settings of all commands.
        page: Pictures of the report.
    """
    from evaluation.detector.addresses import find_addresses
    from evaluation.detector.batch import Reading, detect_all
    from evaluation.detector.detector import Detector

    addresses = find_addresses(videos)
    detector = Detector(
        run,
        alarm,
        protocol=protocol,
        indicators=indicators,
        scene=scene,
        batch=batch,
        scoring=scoring,
        features_model=features_model,
        fps=fps,
    )
    print(f"threshold {detector.threshold.value:.3f}: {detector.threshold.note}")
    print(f"a score is there at most {detector.delay} frames after its frame", flush=True)
    return detect_all(detector, addresses, out, Reading(fps, every, seconds), overlay, page)
