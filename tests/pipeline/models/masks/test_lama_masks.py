"""Random masks keep LaMa's numbers: how many, how large, how far from the border."""

import cv2
import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.models.masks import lama as lama_masks
from pipeline.models.masks.lama import PRESETS, MaskRules, random_mask, rules_of


def draws(function, rules, count=300, size=256):
    return [function(size, rules, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [64, 256])
def test_masks_are_holes(preset, size):
    for mask in draws(random_mask, rules_of(preset), 40, size):
        assert mask.shape == (size, size)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 1}
        assert mask.any()


def test_same_seed_same_mask():
    for preset in PRESETS:
        one, two, other = (
            random_mask(128, rules_of(preset), np.random.default_rng(seed)) for seed in (5, 5, 6)
        )
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)


def test_single_boxes_span_the_range_and_keep_the_margin():
    rules = MaskRules(strokes=(1, 1), length=1, width=1, boxes=(1, 1), side=(30, 150), margin=10)
    sides = []
    for mask in draws(lama_masks.boxes, rules, 600):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        height, width = len(rows), len(columns)
        assert mask.sum() == height * width
        assert rows[0] >= 10
        assert columns[0] >= 10
        assert rows[-1] < 246
        assert columns[-1] < 246
        sides += [height, width]
    assert min(sides) >= 30
    assert max(sides) <= 150
    assert min(sides) < 35
    assert max(sides) > 145
    assert abs(np.mean(sides) - 90) < 5


def test_boxes_scale_with_the_frame():
    rules = rules_of("default")
    for mask in draws(lama_masks.boxes, rules, 50, 64):
        assert mask.sum() >= 7 * 7
        assert not mask[:2].any()


def test_strokes_are_no_longer_and_wider_than_allowed(monkeypatch):
    pieces = []
    monkeypatch.setattr(
        cv2, "line", lambda mask, a, b, value, width: pieces.append((a, b, width)) or mask
    )
    rules = MaskRules(strokes=(1, 5), length=200, width=100)
    draws(lama_masks.strokes, rules, 400)
    lengths = [np.hypot(a[0] - b[0], a[1] - b[1]) for a, b, _ in pieces]
    widths = [width for _, _, width in pieces]
    assert max(lengths) <= 210
    assert max(lengths) > 190
    assert (min(widths), max(widths)) == (5, 104)
    assert 1 <= len(pieces) / 400 <= 25


def test_the_number_of_strokes(monkeypatch):
    starts = []
    original = np.random.Generator.integers

    class Counting:
        def __init__(self, seed):
            self.rng = np.random.default_rng(seed)

        def random(self):
            return self.rng.random()

        def integers(self, *args, **named):
            if "size" in named:
                starts[-1] += 1
            return original(self.rng, *args, **named)

    for preset in PRESETS:
        rules = rules_of(preset)
        starts = []
        for seed in range(400):
            starts.append(0)
            lama_masks.strokes(256, rules, Counting(seed))
        assert (min(starts), max(starts)) == rules.strokes


def test_strokes_and_boxes_are_one_to_one(monkeypatch):
    drawn = []
    monkeypatch.setattr(lama_masks, "boxes", lambda *a: drawn.append("boxes"))
    monkeypatch.setattr(lama_masks, "strokes", lambda *a: drawn.append("strokes"))
    draws(random_mask, rules_of("default"), 1000)
    assert 450 < drawn.count("boxes") < 550
    drawn.clear()
    draws(random_mask, rules_of("thin"), 100)
    assert set(drawn) == {"strokes"}


def test_presets_are_ordered_by_how_much_they_hide():
    mean = {p: np.mean([m.mean() for m in draws(random_mask, rules_of(p), 60)]) for p in PRESETS}
    assert mean["thin"] < mean["thick"]
    assert mean["medium"] < mean["thick"]
    assert 0.1 < mean["default"] < 0.6


@pytest.mark.parametrize(
    ("preset", "count", "area"),
    [
        ("thin", 200, 0.294),
        ("medium", 1000, 0.241),
        ("thick", 1000, 0.402),
        ("default", 1000, 0.355),
    ],
)
def test_mean_areas_are_those_of_the_original_generators(preset, count, area):
    areas = [mask.mean() for mask in draws(random_mask, rules_of(preset), count)]
    assert np.mean(areas) == pytest.approx(area, abs=0.005 + 3 * np.std(areas) / count**0.5)


def test_unknown_preset():
    with pytest.raises(ConfigurationError, match="'huge' is none of default, thin, medium, thick"):
        rules_of("huge")
