"""One hole a frame: its own randomness, the choice of an instance, and what was done."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.masks.lama import PRESETS
from pipeline.stages.base import Array, Job
from pipeline.stages.masks import FALLBACK, INSTANCE, RANDOM, Masks, bounding_box, usable_instances


def random_job(frames, key="k", video="train/01", size=64):
    images = np.zeros((100, size, size, 3), np.uint8)
    return Job(video=video, frames=frames, inputs={"frames": {"image": images}}, key=key)


def instance_job(maps, frames=None, key="k"):
    frames = frames or range(len(maps))
    inputs = {"instances": {"instances": maps, "count": None}}
    return Job(video="train/01", frames=frames, inputs=inputs, key=key)


def labelled():
    """A map of 100x100: 1 too large, 2 and 3 usable, 4 of 4 pixels too small."""
    labels = np.zeros((100, 100), np.uint8)
    labels[:40] = 1
    labels[50:60, 10:30] = 2
    labels[70:75, 60:70] = 3
    labels[90:92, 90:92] = 4
    return labels


@pytest.mark.parametrize("preset", PRESETS)
def test_random_masks(preset):
    stage = Masks(kind="random", preset=preset)
    out = stage.compute(random_job(range(10)))
    specs = stage.arrays({"frames": {"image": Array("uint8", (64, 64, 3))}})
    for name, spec in specs.items():
        assert out[name].shape == (10, *spec.shape)
        assert out[name].dtype == spec.dtype
    assert np.all(out["origin"] == RANDOM)
    assert np.all(out["mask"].any((1, 2)))
    assert len(np.unique(out["mask"].reshape(10, -1), axis=0)) == 10


@pytest.mark.parametrize("kind", ["random", "instance"])
def test_masks_depend_on_key_video_and_frame_alone(kind):
    stage = Masks(kind=kind)
    maps = np.stack([labelled() if f % 3 else np.zeros((100, 100), np.uint8) for f in range(20)])

    def run(frames, **named):
        if kind == "random":
            return stage.compute(random_job(frames, **named))
        return stage.compute(instance_job(maps, frames, **named))

    whole = run(range(20))
    for frames in (range(3), range(3, 15), range(15, 20)):
        part = run(frames)
        for name in whole:
            assert np.array_equal(part[name], whole[name][frames.start : frames.stop])
    assert not np.array_equal(run(range(20), key="other")["mask"], whole["mask"])


def test_an_instance_is_used_as_it_is_and_chosen_uniformly():
    maps = np.stack([labelled()] * 400)
    out = Masks().compute(instance_job(maps))
    assert np.all(out["origin"] == INSTANCE)
    chosen = []
    for mask, box in zip(out["mask"], out["box"], strict=True):
        labels = np.unique(labelled()[mask == 1])
        assert len(labels) == 1
        assert np.array_equal(mask == 1, labelled() == labels[0])
        top, left, bottom, right = box
        assert mask[top:bottom, left:right].sum() == mask.sum()
        chosen.append(labels[0])
    counts = np.bincount(chosen, minlength=5)
    assert counts[[0, 1, 4]].sum() == 0
    assert 150 < counts[2] < 250


def test_frames_without_a_usable_instance_fall_back_and_say_so():
    none = np.zeros((100, 100), np.uint8)
    only_large = np.ones((100, 100), np.uint8)
    only_small = np.where(labelled() == 4, 4, 0).astype(np.uint8)
    out = Masks().compute(instance_job(np.stack([none, only_large, only_small, labelled()])))
    assert out["origin"].tolist() == [FALLBACK, FALLBACK, FALLBACK, INSTANCE]
    assert np.all(out["mask"].any((1, 2)))


def test_the_limits_are_inclusive():
    labels = np.zeros((100, 100), np.uint8)
    labels[0, :5] = 1  # 0.05 %
    labels[50:80] = 2  # 30 %
    assert usable_instances(labels, 0.0005, 0.3).tolist() == [1, 2]
    assert usable_instances(labels, 0.00051, 0.299).tolist() == []
    assert usable_instances(np.zeros((4, 4), np.uint8), 0.0, 1.0).tolist() == []


@given(st.data())
def test_boxes_enclose_tightly(data):
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    cells = data.draw(
        st.lists(st.tuples(st.integers(0, height - 1), st.integers(0, width - 1)), min_size=1)
    )
    mask = np.zeros((height, width), np.uint8)
    for row, column in cells:
        mask[row, column] = 1
    rows, columns = [row for row, _ in cells], [column for _, column in cells]
    assert bounding_box(mask) == (min(rows), min(columns), max(rows) + 1, max(columns) + 1)


def test_an_empty_mask_has_no_box():
    with pytest.raises(DataError, match="all 0"):
        bounding_box(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "object"}, r"masks\.kind: 'object'"),
        ({"preset": "huge"}, r"masks\.preset: 'huge'"),
        ({"min_area": 0.4}, r"masks\.min_area: 0.4"),
        ({"max_area": 1.5}, r"masks\.max_area: 1.5"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Masks(**settings)


def test_inputs_and_settings_follow_the_kind():
    assert Masks(kind="random").inputs() == ("frames",)
    assert Masks().inputs() == ("instances",)
    assert Masks(kind="random", max_area=0.5).settings() == Masks(kind="random").settings()
    assert Masks(max_area=0.5).settings() != Masks().settings()
    with pytest.raises(ConfigurationError, match="not square"):
        Masks(kind="random").arrays({"frames": {"image": Array("uint8", (64, 48, 3))}})
