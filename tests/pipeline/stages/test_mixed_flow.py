import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.stages.base import Array, Job
from pipeline.stages.mixed_flow import MixedFlow, mix, random_box

BOX = np.array([3, 5, 9, 15], np.int16)


def job(span=range(6), key="k", video="train/01"):
    rng = np.random.default_rng(0)
    mask = np.zeros((7, 20, 30), np.uint8)
    mask[:, 3:9, 5:15] = rng.integers(0, 2, (7, 6, 10))
    flow = rng.normal(0, 1, (6, 20, 30, 2)).astype(np.float16)
    boxes = np.tile(BOX, (7, 1))
    inputs = {"flow": {"flow": flow}, "masks": {"mask": mask, "box": boxes}}
    return Job(video=video, frames=span, inputs=inputs, key=key)


def test_a_written_out_example():
    flow = np.zeros((2, 4, 2), np.float32)
    flow[..., 0] = [[1, 2, 3, 4], [5, 6, 7, 8]]
    mixed = mix(flow, (0, 0, 2, 1), (0, 3, 2, 4), lam=0.25)
    # 0.25 x 1 + 0.75 x 4 and 0.25 x 5 + 0.75 x 8
    np.testing.assert_array_equal(mixed[..., 0], [[3.25, 2, 3, 4], [7.25, 6, 7, 8]])
    assert not mixed[..., 1].any()
    np.testing.assert_array_equal(flow[0, :, 0], [1, 2, 3, 4])


def test_overlapping_rectangles_mix_the_original():
    flow = np.arange(12, dtype=np.float32).reshape(1, 6, 2)
    mixed = mix(flow, (0, 1, 1, 4), (0, 0, 1, 3), lam=0.0)
    np.testing.assert_array_equal(mixed[0, 1:4], flow[0, 0:3])


def test_silhouette_changes_only_the_mask():
    flow = np.random.default_rng(0).normal(size=(20, 30, 2))
    mask = np.zeros((20, 30), np.uint8)
    mask[4:6, 7:11] = 1
    mixed = mix(flow, BOX, (10, 0, 16, 10), 0.4, mask)
    changed = (mixed != flow).any(axis=-1)
    np.testing.assert_array_equal(changed, mask.astype(bool))
    box = mix(flow, BOX, (10, 0, 16, 10), 0.4)
    np.testing.assert_array_equal(mixed[mask > 0], box[mask > 0])


@pytest.mark.parametrize("region", ["box", "silhouette"])
def test_what_is_recorded_makes_the_flow_again(region):
    work = job()
    out = MixedFlow(region=region).compute(work)
    flow, mask = work.inputs["flow"]["flow"], work.inputs["masks"]["mask"]
    for t in range(6):
        rng = np.random.default_rng(out["seed"][t])
        assert out["lam"][t] == np.float32(rng.beta(0.4, 0.4))
        top, left, bottom, right = out["source_box"][t]
        assert (top, left) == (rng.integers(0, 15), rng.integers(0, 21))
        assert (bottom - top, right - left) == (6, 10)
        expected = flow[t].astype(np.float64)
        source = expected[top:bottom, left:right]
        mixed = out["lam"][t] * expected[3:9, 5:15] + (1 - out["lam"][t]) * source
        inside = mask[t, 3:9, 5:15, None] if region == "silhouette" else 1
        expected[3:9, 5:15] = np.where(inside, mixed, expected[3:9, 5:15])
        np.testing.assert_allclose(out["flow"][t], expected, atol=2e-3)
    np.testing.assert_array_equal(out["target_box"], np.tile(BOX, (6, 1)))
    assert out["flow"].dtype == np.float16


def test_shards_agree_with_the_whole_and_videos_differ():
    whole = MixedFlow().compute(job())
    part = MixedFlow().compute(job(range(2, 5)))
    for name, array in part.items():
        np.testing.assert_array_equal(array, whole[name][2:5])
    assert (MixedFlow().compute(job(video="train/02"))["lam"] != whole["lam"]).all()


def test_lambda_is_beta_distributed():
    seeds = [Job(video="v", frames=range(1), key=str(k)).rng(0) for k in range(4000)]
    lams = np.array([rng.beta(0.4, 0.4) for rng in seeds])
    assert lams.mean() == pytest.approx(0.5, abs=0.02)
    assert lams.var() == pytest.approx(0.25 / 1.8, abs=0.005)  # ab / (a+b)^2 / (a+b+1)


def test_sources_cover_the_frame_and_stay_inside():
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(rng, BOX, (20, 30)) for _ in range(3000)])
    assert set(boxes[:, 0]) == set(range(15))
    assert set(boxes[:, 1]) == set(range(21))
    assert random_box(rng, np.array([0, 0, 20, 30]), (20, 30)) == (0, 0, 20, 30)


def test_arrays_and_length():
    stage = MixedFlow()
    flow = Array("float16", (20, 30, 2))
    arrays = stage.arrays({"flow": {"flow": flow}, "masks": {}})
    assert arrays["flow"] == flow
    out = stage.compute(job())
    assert set(out) == set(arrays)
    for name, array in out.items():
        assert (array.dtype, array.shape[1:]) == (arrays[name].dtype, arrays[name].shape)
    assert stage.length(120) == 119


@pytest.mark.parametrize(("field", "value"), [("region", "circle"), ("alpha", 0.0), ("alpha", -1)])
def test_bad_settings_name_the_field(field, value):
    with pytest.raises(ConfigurationError, match=f"mixed_flow.{field}"):
        MixedFlow(**{field: value})
