"""One self-contained HTML page: what it holds, and how it is filled in.

Everything is inside the file: plotly.js once, small JPEGs, style and the few lines that
connect a timeline with its pictures. Its content security policy allows no address but the
page's own data, so it opens without a network. Names from manifests and files are escaped by
Jinja2; labels that go to plotly, which reads its texts as HTML, are escaped on the way.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipeline.base.errors import ConfigurationError

POINTS = 4000
"""A timeline shows at most so many points; longer videos by the maximum of each stretch."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """How a report looks; none of it changes a number."""

    thumbnails: int = 360
    """Frames embedded for the timelines, over all videos."""

    side: int = 176
    """Longer side of an embedded frame in pixels."""

    examples: int = 4
    """Rows of the sheet of pseudo-anomalies."""

    events: int = 3
    """Pictures of each kind of event."""

    figures: bool = True
    """Also write the figures as PNG and PDF into RUN/figures."""

    def __post_init__(self) -> None:
        for name in ("thumbnails", "examples", "events"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"page.{name}: {getattr(self, name)} is below 0")
        if self.side < 16:
            raise ConfigurationError(f"page.side: {self.side} is below 16")


@dataclass(frozen=True)
class Thumbnail:
    """A frame of a timeline as embedded pictures; ``heat`` is empty without error maps."""

    frame: int
    image: str
    heat: str = ""


@dataclass(frozen=True)
class Timeline:
    """The scores of one video.

    Attributes
    ----------
    name
        The video's.
    frames
        Of the video.
    first
        The first scored frame.
    series
        Label to scores; the last one is drawn strongest.
    colors
        Label to ``#rrggbb``, where a series has a colour of its own.
    truth
        Intervals [first, last] of anomalous frames; None where there are no labels.
    fps
        Frames a second, if known.
    threshold
        Above it an event is called, if there is one.
    events
        Intervals [first, last] of events.
    text
        A line below the heading.
    """

    name: str
    frames: int
    first: int
    series: Mapping[str, np.ndarray]
    colors: Mapping[str, str] = field(default_factory=dict)
    truth: Sequence[tuple[int, int]] | None = None
    fps: float | None = None
    threshold: float | None = None
    events: Sequence[tuple[int, int]] = ()
    thumbnails: Sequence[Thumbnail] = ()
    text: str = ""

    def data(self) -> dict[str, Any]:
        """Return what the page's script draws."""
        step = -(-max(len(next(iter(self.series.values()), ())), 1) // POINTS)
        return {
            "frames": self.frames,
            "first": self.first,
            "step": step,
            "labels": [html.escape(label) for label in self.series],
            "colors": [self.colors.get(label, "") for label in self.series],
            "series": [rounded(peaks(values, step)) for values in self.series.values()],
            "truth": self.truth,
            "fps": self.fps,
            "threshold": self.threshold,
            "events": list(self.events),
            "thumbnails": [asdict(one) for one in self.thumbnails],
        }

    def strip(self, width: int = 600, height: int = 60) -> str:
        """Return the last series as the points of an SVG line, 0 ... its maximum."""
        values = np.asarray(list(self.series.values())[-1], np.float64)
        values = peaks(values, -(-len(values) // width))
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
        x0 = width * self.first / max(self.frames - 1, 1)
        x1 = (
            width * (self.first + len(list(self.series.values())[-1]) - 1) / max(self.frames - 1, 1)
        )
        xs = np.linspace(x0, x1, len(values))
        ys = height - 3 - scaled * (height - 6)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))


@dataclass(frozen=True)
class Picture:
    """A picture with a caption, perhaps a second one beside it, perhaps a link to a timeline."""

    source: str
    caption: str
    anchor: str = ""
    second: str = ""


@dataclass(frozen=True)
class Sheet:
    """Rows of pictures below one heading."""

    heading: str
    text: str
    rows: Sequence[Sequence[Picture]] = field(default=())


@dataclass(frozen=True)
class Chart:
    """A chart that plotly draws as it is given; names in its traces must be escaped."""

    heading: str
    text: str
    traces: Sequence[Mapping[str, Any]]
    x: str
    y: str
    square: bool = False
    log: bool = False


def peaks(values: np.ndarray, step: int) -> np.ndarray:
    """Return the maximum of each stretch of ``step`` values.

    >>> peaks(np.array([1, 5, 2, 3, 4]), 2).tolist()
    [5.0, 3.0, 4.0]
    """
    values = np.asarray(values, np.float64)
    if step <= 1:
        return values
    padded = np.pad(values, (0, -len(values) % step), constant_values=-np.inf)
    return padded.reshape(-1, step).max(1)


def rounded(values: np.ndarray) -> list[float]:
    """Return numbers with five significant digits: a page needs no more."""
    return [float(f"{value:.5g}") for value in values]


def render(template: str, **content: Any) -> str:
    """Fill in a template of ``evaluation/report/templates``; everything is escaped."""
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: "-" if value is None else f"{100 * value:.2f}"
    content.setdefault("timelines", [])
    content.setdefault("charts", [])
    data = {
        "timelines": [one.data() for one in content["timelines"]],
        "charts": [asdict(chart) for chart in content["charts"]],
    }
    return environment.get_template(template).render(
        plotly=get_plotlyjs() if content["timelines"] or content["charts"] else "",
        data=data,
        **content,
    )
